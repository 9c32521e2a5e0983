// SPDX-License-Identifier: Apache-2.0
//
// Before a path other than the plain one is used, it computes a small product and a small attention in both
// precisions. Its results must agree with those of the plain path.

#include <math.h>
#include <string.h>

#include "Numbers.h"
#include "Transformer.h"

enum { rows = 37, outputs = 45, inputs = 70, grid = 9, window = 5, heads = 2, head = 24, channels = heads * head };

// Draws numbers in [-1, 1), the same for the same state (Knuth's MMIX constants).
static void draw(uint64_t *state, float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        values[i] = (float)(*state >> 40) / (1 << 23) - 1;
    }
}

static void round_all(const float *values, uint16_t *rounded, int64_t count) {
    for (int64_t i = 0; i < count; i++) rounded[i] = ck_rounded(values[i]);
}

static int agree(const float *a, const float *b, int64_t count, double tolerance) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += (double)(a[i] - b[i]) * (a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return sqrt(difference) <= tolerance * sqrt(size);  // false for NaN
}

static int multiplies(const ck_kernels *kernels, ck_precision precision) {
    static float weight[outputs * inputs], bias[outputs], input[rows * inputs], results[2][rows * outputs];
    static uint16_t rounded[rows * inputs];
    uint64_t state = 1;
    draw(&state, weight, outputs * inputs);
    draw(&state, bias, outputs);
    draw(&state, input, rows * inputs);
    round_all(input, rounded, rows * inputs);
    const ck_kernels *both[2] = {kernels, &ck_plain_kernels};
    for (int i = 0; i < 2; i++) {
        ck_matrix *matrix;
        if (ck_matrix_create_for(both[i], outputs, inputs, weight, bias, precision, &matrix) != ck_ok) return 0;
        ck_multiplication m = {.rows = rows,
                               .input = precision == ck_bf16 ? (const void *)rounded : input,
                               .input_stride = inputs,
                               .output = results[i],
                               .output_stride = outputs,
                               .activation = ck_gelu};
        ck_status status = ck_matrix_multiply(matrix, &m);
        ck_matrix_destroy(matrix);
        if (status != ck_ok) return 0;
    }
    // The sums of 70 products differ in the order of additions.
    return agree(results[0], results[1], rows * outputs, 1e-5);
}

static int attends(const ck_kernels *kernels, ck_precision precision) {
    static float qkv[grid * grid * 3 * channels], padding[3 * channels], relative[2 * (2 * window - 1) * head];
    static float results[2][grid * grid * channels];
    static uint16_t rounded[grid * grid * 3 * channels], outcome[grid * grid * channels];
    uint64_t state = 2;
    draw(&state, qkv, grid * grid * 3 * channels);
    draw(&state, padding, 3 * channels);
    draw(&state, relative, 2 * (2 * window - 1) * head);
    round_all(qkv, rounded, grid * grid * 3 * channels);
    int half = precision == ck_bf16;
    const ck_kernels *both[2] = {kernels, &ck_plain_kernels};
    for (int i = 0; i < 2; i++) {
        ck_self_attention a = {.batch = 1,
                               .height = grid,
                               .width = grid,
                               .window = window,
                               .heads = heads,
                               .head_size = head,
                               .form = precision,
                               .qkv = half ? (const void *)rounded : qkv,
                               .padding = padding,
                               .scale = 0.2f,
                               .rel_height = relative,
                               .rel_width = relative + (2 * window - 1) * head,
                               .output = half ? (void *)outcome : results[i]};
        if (both[i]->attend(&a) != ck_ok) return 0;
        for (int64_t k = 0; half && k < grid * grid * channels; k++) results[i][k] = ck_widened(outcome[k]);
    }
    // In bf16, the shares and the output are rounded, by 2^-9 each.
    return agree(results[0], results[1], grid * grid * channels, half ? 1e-2 : 1e-5);
}

int ck_agrees_with_plain(const ck_kernels *kernels) {
    return multiplies(kernels, ck_fp32) && multiplies(kernels, ck_bf16) && attends(kernels, ck_fp32) &&
           attends(kernels, ck_bf16);
}
