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

void ck_resample(int64_t outer, int64_t n, int64_t m, int64_t inner, const int32_t *firsts, const int32_t *counts,
                 const float *weights, int64_t stride, const float *input, float *output) {
    resampling r = {n, m, inner, stride, firsts, counts, weights, input, output};
    if (inner == 1)
        ck_parallel(outer, resample_samples, &r);
    else
        ck_parallel(outer * m, resample_lines, &r);
}
