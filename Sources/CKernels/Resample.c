// SPDX-License-Identifier: Apache-2.0
//
// Resampling of one axis by a banded matrix.

#include "CKernels.h"
#include "Parallel.h"

typedef struct {
    int64_t n, m, inner, stride;
    const int32_t *firsts, *counts;
    const float *weights, *input;
    float *output;
    const uint8_t *bytes;
} resampling;

// Computes one output line of `inner` samples from `count` input lines.
CK_VECTORISED static void mix_lines(const float *restrict lines, const float *weights, int64_t count, int64_t inner,
                                    float *restrict output) {
    for (int64_t k = 0; k < inner; k++) output[k] = weights[0] * lines[k];
    for (int64_t j = 1; j < count; j++)
        for (int64_t k = 0; k < inner; k++) output[k] += weights[j] * lines[j * inner + k];
}

static void resample_lines(void *context, int64_t first, int64_t last) {
    const resampling *r = context;
    for (int64_t line = first; line < last; line++) {
        int64_t block = line / r->m, i = line % r->m;
        mix_lines(r->input + (block * r->n + r->firsts[i]) * r->inner, r->weights + i * r->stride, r->counts[i],
                  r->inner, r->output + line * r->inner);
    }
}

// Resamples the last axis: a scalar product for every output sample.
static void resample_samples(void *context, int64_t first, int64_t last) {
    const resampling *r = context;
    for (int64_t block = first; block < last; block++) {
        const float *input = r->input + block * r->n;
        float *output = r->output + block * r->m;
        for (int64_t i = 0; i < r->m; i++) {
            const float *samples = input + r->firsts[i], *weights = r->weights + i * r->stride;
            float sum = weights[0] * samples[0];
            for (int32_t j = 1; j < r->counts[i]; j++) sum += weights[j] * samples[j];
            output[i] = sum;
        }
    }
}

// A pixel of three channels, and one float more.
typedef float pixel __attribute__((vector_size(16), aligned(4)));

// Resamples an axis of pixels of three channels: a vector product for every output pixel.
CK_VECTORISED static void resample_line_of_pixels(const resampling *r, const float *input, float *output) {
    // Only the last pixel of the line is read without the float behind it.
    const float last[4] = {input[3 * r->n - 3], input[3 * r->n - 2], input[3 * r->n - 1], 0};
    for (int64_t i = 0; i < r->m; i++) {
        const float *weights = r->weights + i * r->stride;
        int64_t first = r->firsts[i], end = first + r->counts[i];
        pixel sum = {0, 0, 0, 0};
        for (int64_t j = first; j < end; j++)
            sum += weights[j - first] * *(const pixel *)(j + 1 < r->n ? input + 3 * j : last);
        output[3 * i] = sum[0];
        output[3 * i + 1] = sum[1];
        output[3 * i + 2] = sum[2];
    }
}

static void resample_pixels(void *context, int64_t first, int64_t last) {
    const resampling *r = context;
    for (int64_t block = first; block < last; block++)
        resample_line_of_pixels(r, r->input + block * r->n * 3, r->output + block * r->m * 3);
}

// Computes one output line of `inner` samples from `count` lines of bytes.
CK_VECTORISED static void mix_lines_of_bytes(const uint8_t *restrict lines, const float *weights, int64_t count,
                                             int64_t inner, float *restrict output) {
    for (int64_t k = 0; k < inner; k++) output[k] = weights[0] * (float)lines[k];
    int64_t j = 1;
    for (; j + 1 < count; j += 2) {
        const uint8_t *a = lines + j * inner, *b = a + inner;
        for (int64_t k = 0; k < inner; k++)
            output[k] += weights[j] * (float)a[k] + weights[j + 1] * (float)b[k];
    }
    for (; j < count; j++)
        for (int64_t k = 0; k < inner; k++) output[k] += weights[j] * (float)lines[j * inner + k];
}

static void resample_lines_of_bytes(void *context, int64_t first, int64_t last) {
    const resampling *r = context;
    for (int64_t i = first; i < last; i++)
        mix_lines_of_bytes(r->bytes + r->firsts[i] * r->inner, r->weights + i * r->stride, r->counts[i], r->inner,
                           r->output + i * r->inner);
}

void ck_resample_bytes(int64_t n, int64_t m, int64_t inner, const int32_t *firsts, const int32_t *counts,
                       const float *weights, int64_t stride, const uint8_t *input, float *output) {
    resampling r = {n, m, inner, stride, firsts, counts, weights, NULL, output, input};
    ck_parallel(m, resample_lines_of_bytes, &r);
}

void ck_resample(int64_t outer, int64_t n, int64_t m, int64_t inner, const int32_t *firsts, const int32_t *counts,
                 const float *weights, int64_t stride, const float *input, float *output) {
    resampling r = {n, m, inner, stride, firsts, counts, weights, input, output, NULL};
    if (inner == 1)
        ck_parallel(outer, resample_samples, &r);
    else if (inner == 3)
        ck_parallel(outer, resample_pixels, &r);
    else
        ck_parallel(outer * m, resample_lines, &r);
}
