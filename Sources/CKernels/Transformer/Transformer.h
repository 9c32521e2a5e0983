// SPDX-License-Identifier: Apache-2.0
//
// Declarations that the paths of the transformer kernels share: a matrix, and the table of functions of a path.
// Public functions check their arguments before they call these functions.
#pragma once

#include "CKernels.h"

struct ck_matrix {
    const struct ck_kernels *kernels;  // of the path that packed the matrix
    int64_t n, k;
    ck_precision precision;
    float *bias;  // [n rounded up to 64], padded with zeros; all zeros if there is no bias
    void *packed;  // the weight in the path's own order, aligned to 64 bytes
};

// The arguments of `ck_depthwise`.
typedef struct {
    int64_t height, width, channels, kernel, stride, rows, columns;
    const float *input, *weight, *bias;
    ck_activation activation;
    float *output;
} ck_depthwise_layer;

// The arguments of `ck_downsample_mask`.
typedef struct {
    int64_t height, width, channels;
    const float *mask, *weight, *bias, *norm_weight, *norm_bias;
    float epsilon;
    void *output;
    ck_precision form;
} ck_mask_layer;

// The elements in front of a row of the output or of the residual.
static inline int64_t ck_row_start(const ck_multiplication *m, int64_t row, int64_t stride) {
    if (m->group == 0) return row * stride;
    // Rows are fewer than 2^32, and the division of short numbers is faster.
    uint32_t group = (uint32_t)row / (uint32_t)m->group, rest = (uint32_t)row % (uint32_t)m->group;
    return group * m->group_stride + rest * stride;
}

// The numbers of a head in the values and in the output.
static inline int64_t ck_value_size(const ck_self_attention *a) { return a->value_size ? a->value_size : a->head_size; }

typedef struct ck_kernels {
    // The size of `packed` in bytes, and the function that fills it from weight [n, k].
    size_t (*packed_size)(const ck_matrix *matrix);
    void (*pack)(const ck_matrix *matrix, const float *weight);
    ck_status (*multiply)(const ck_matrix *matrix, const ck_multiplication *m);
    ck_status (*attend)(const ck_self_attention *a);
    // Functions on a single row: GELU and scale * sigmoid(x) + shift in place, a layer norm with an activation behind
    // it, and output[v * step] = x . vectors[v, :].
    void (*gelu)(int64_t count, float *x);
    void (*sigmoid)(int64_t count, float *x, float scale, float shift);
    void (*norm)(int64_t channels, const float *x, const float *weight, const float *bias, float epsilon,
                 ck_activation activation, void *output, ck_precision form);
    // An output row of a depthwise convolution, and one of a mask's first downsampling.
    void (*depthwise)(const ck_depthwise_layer *layer, int64_t image, int64_t row);
    void (*downsample)(const ck_mask_layer *layer, int64_t row);
    void (*dot)(int64_t k, int64_t count, const float *x, const float *vectors, float *output, int64_t step);
    // Runs multiply-adds on registers alone and returns the number of operations.
    double (*bare)(int64_t rounds, ck_precision precision);
} ck_kernels;

extern const ck_kernels ck_plain_kernels;
#if defined(__x86_64__)
extern const ck_kernels ck_avx2_kernels, ck_avx512_kernels, ck_avx512_bf16_kernels, ck_amx_kernels;
extern const ck_kernels ck_emulated_avx512_kernels, ck_emulated_avx512_bf16_kernels, ck_emulated_amx_kernels;
#endif

// The kernels of the current path.
const ck_kernels *ck_current_kernels(void);

// `ck_matrix_create` for given kernels instead of those of the current path.
ck_status ck_matrix_create_for(const ck_kernels *kernels, int64_t n, int64_t k, const float *weight, const float *bias,
                               ck_precision precision, ck_matrix **matrix);

// 1 if the kernels compute the same numbers as the plain ones, within rounding.
int ck_agrees_with_plain(const ck_kernels *kernels);

// Scratch memory of the calling thread, at least `bytes` bytes, aligned to 64 bytes. It returns NULL if memory is
// exhausted. The buffer belongs to the thread, stays allocated, and grows on demand. Every slot is a separate buffer,
// which loses its content when it grows.
enum { ck_scratch_slots = 4 };
void *ck_scratch(int slot, size_t bytes);
