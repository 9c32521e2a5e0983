// SPDX-License-Identifier: Apache-2.0
//
// The passes of `ck_pass_tokens`: the choice of the instruction set, the plain version that is the reference for the
// others, and the functions that move a head's matrix to the tokens.

#include <math.h>
#include <string.h>

#include "../Parallel.h"
#include "../Transformer/Transformer.h"
#include "Kernels.h"

enum { HEADS = 8 };

static float product(const float *a, const float *b, int64_t count) {
    float sum = 0;
    for (int64_t i = 0; i < count; i++) sum += a[i] * b[i];
    return sum;
}

// Computes the new row of a place. `shares` is scratch memory, [tokens].
static void spread(const ck_pass *p, int64_t place, float *placed, float *shares, float *row) {
    int64_t C = p->channels, T = p->tokens;
    for (int64_t c = 0; c < C; c++) row[c] = p->rows[place * C + c] + p->bias[c];
    for (int64_t head = 0; head < HEADS; head++) {
        float largest = -INFINITY, sum = 0;
        for (int64_t t = 0; t < T; t++) {
            int64_t j = t * HEADS + head;
            shares[t] = product(placed, p->key + j * C, C) + p->offset[j];
            if (shares[t] > largest) largest = shares[t];
        }
        for (int64_t t = 0; t < T; t++) sum += shares[t] = expf(shares[t] - largest);
        for (int64_t t = 0; t < T; t++)
            for (int64_t c = 0; c < C; c++) row[c] += shares[t] / sum * p->value[(t * HEADS + head) * C + c];
    }
    ck_layer_norm(1, C, row, C, p->norm_weight, p->norm_bias, p->epsilon, ck_identity, row, ck_fp32,
                  C);
}

static ck_status pass_plain(const ck_pass *p) {
    int64_t C = p->channels, J = p->tokens * HEADS;
    float *placed = ck_scratch(2, (size_t)(2 * C + p->tokens + p->places) * sizeof *placed);
    if (placed == NULL) return ck_out_of_memory;
    float *row = placed + C, *shares = row + C, *scores = shares + p->tokens;
    const float *rows = p->rows;
    for (int64_t n = 0; p->key && n < p->places; n++) {
        for (int64_t c = 0; c < C; c++) placed[c] = p->rows[n * C + c] + p->positions[n * C + c];
        spread(p, n, placed, shares, row);
        memcpy(p->output + n * C, row, (size_t)C * sizeof *row);
        rows = p->output;
    }
    for (int64_t j = 0; p->query && j < J; j++) {
        float largest = -INFINITY, sum = 0;
        const float *query = p->query + j * C;
        for (int64_t n = 0; n < p->places; n++) {
            scores[n] = product(query, rows + n * C, C) + product(query, p->positions + n * C, C);
            if (scores[n] > largest) largest = scores[n];
        }
        memset(row, 0, (size_t)C * sizeof *row);
        for (int64_t n = 0; n < p->places; n++) {
            sum += scores[n] = expf(scores[n] - largest);
            for (int64_t c = 0; c < C; c++) row[c] += scores[n] * rows[n * C + c];
        }
        for (int64_t c = 0; c < C; c++) p->sums[j * C + c] = row[c] / sum;
    }
    return ck_ok;
}

ck_status ck_pass_tokens(const ck_pass *pass) {
    if (pass->places < 1 || pass->tokens < 1 || pass->channels < 32 || pass->channels % 32) return ck_bad_argument;
    switch (ck_current_path()) {
#if defined(__x86_64__)
    case ck_path_avx2: return ck_pass_avx2(pass);
    case ck_path_avx512:
    case ck_path_avx512_bf16:
    case ck_path_amx: return ck_pass_avx512(pass);
    case ck_path_emulated_avx512:
    case ck_path_emulated_avx512_bf16:
    case ck_path_emulated_amx: return ck_pass_emulated_avx512(pass);
#endif
    default: return pass_plain(pass);
    }
}

enum { TOGETHER = 64, FEW = 16 };  // sums that stay in registers

// Computes sums[i] += factor * row[i], for a count that the compiler knows.
#define ADD_SCALED(sums, factor, row, count) \
    for (int64_t i = 0; i < (count); i++) (sums)[i] += (factor) * (row)[i]

CK_VECTORISED void ck_fold_heads(int64_t rows, int64_t heads, int64_t head_size, int64_t channels, float scale,
                                 const float *x, const float *matrix, float *restrict output) {
    for (int64_t item = 0; item < rows * heads; item++) {
        float *restrict to = output + item * channels;
        const float *from = x + item * head_size, *m = matrix + item % heads * head_size * channels;
        int64_t c = 0;
        for (; c + TOGETHER <= channels; c += TOGETHER) {
            float sums[TOGETHER] = {0};
            for (int64_t d = 0; d < head_size; d++) ADD_SCALED(sums, scale * from[d], m + d * channels + c, TOGETHER);
            memcpy(to + c, sums, sizeof sums);
        }
        for (; c < channels; c++) {
            to[c] = 0;
            for (int64_t d = 0; d < head_size; d++) to[c] += scale * from[d] * m[d * channels + c];
        }
    }
}

CK_VECTORISED void ck_unfold_heads(int64_t rows, int64_t heads, int64_t head_size, int64_t channels, const float *x,
                                   const float *matrix, const float *bias, float *restrict output) {
    for (int64_t item = 0; item < rows * heads; item++) {
        int64_t head = item % heads, d = 0;
        const float *from = x + item * channels, *m = matrix + head * channels * head_size;
        for (; d + FEW <= head_size; d += FEW) {
            float sums[FEW];
            memcpy(sums, bias + head * head_size + d, sizeof sums);
            for (int64_t c = 0; c < channels; c++) ADD_SCALED(sums, from[c], m + c * head_size + d, FEW);
            memcpy(output + item * head_size + d, sums, sizeof sums);
        }
        for (; d < head_size; d++) {
            float sum = bias[head * head_size + d];
            for (int64_t c = 0; c < channels; c++) sum += from[c] * m[c * head_size + d];
            output[item * head_size + d] = sum;
        }
    }
}
