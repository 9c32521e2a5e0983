// SPDX-License-Identifier: Apache-2.0
//
// The computing kernels: convolutions on oneDNN 2.6, plain products on OpenBLAS, the rest written here.
//
// Layout: activations are fp32, dense, channels last: [batch, (depth,) height, width, channels]. Sizes and strides
// count elements. The caller owns every buffer; no two arguments overlap unless said so.
//
// Threads: `ck_start` comes first and fixes the number of threads for the whole process. Call everything from one
// thread after it: OpenMP builds and keeps a team for each thread that calls. Other threads get the same results, and
// a convolution serves one of them at a time; nothing here locks.
//
// Results are the same bit for bit for the same input, processor, precision and thread count; kernels written here do
// not depend on the thread count either: every sum is taken over blocks of a fixed size, in order.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    ck_ok = 0,
    ck_out_of_memory = 1,
    ck_unsupported = 2,  // the processor or the library has no implementation
    ck_bad_argument = 3,
    ck_backend_failed = 4
} ck_status;

typedef enum { ck_fp32 = 0, ck_bf16 = 1 } ck_precision;

// Fixes the number of threads (1...256) and silences OpenBLAS's own. A later call must ask for as many:
// ck_bad_argument.
ck_status ck_start(int threads);

// The number of threads fixed by `ck_start`, 0 before it.
int ck_threads(void);

// 1 when convolutions can run in bf16: the processor has AVX512-BF16 or AMX and ONEDNN_MAX_CPU_ISA does not hide it.
int ck_has_bf16(void);

// Convolution ---------------------------------------------------------------------------------------------------------

typedef struct {
    int axes;  // 2 or 3
    int inputs, outputs;  // channels
    int kernel, stride, padding;  // the same on every axis; padding is zeros
    int adds;  // 1: the output buffer holds a summand on entry, added before the activation
    float negative_slope;  // activation: 1 none, 0 ReLU, else leaky ReLU
} ck_convolution_shape;

typedef struct ck_convolution ck_convolution;

// Copies the weights: [outputs, inputs, (kernel,) kernel, kernel], and the bias: [outputs] or NULL. ck_bf16 rounds
// inputs and weights to bf16 and sums in fp32; it fails with ck_unsupported where `ck_has_bf16` is 0, and a shape that
// has no bf16 kernel is computed in fp32.
ck_status ck_convolution_create(const ck_convolution_shape *shape, const float *weight, const float *bias,
                                ck_precision precision, ck_convolution **convolution);

// output = activation(convolution(input) + bias (+ output)). `size` holds `axes` extents of the input. The kernel is
// compiled and the weights are packed for it when the size differs from the last call's.
ck_status ck_convolution_run(ck_convolution *convolution, int64_t batch, const int64_t *size, const float *input,
                             float *output);

// What oneDNN chose at the last run, such as "jit:avx2"; "" before the first.
const char *ck_convolution_implementation(const ck_convolution *convolution);

void ck_convolution_destroy(ck_convolution *convolution);

// Products ------------------------------------------------------------------------------------------------------------

// c[rows, n] = a[rows, k] b[n, k]^T + bias[n]; bias may be NULL.
void ck_product(int64_t rows, int64_t n, int64_t k, const float *a, const float *b, const float *bias, float *c);

// Layers written here -------------------------------------------------------------------------------------------------

// x = activation(normalised(x) * scale + shift (+ summand)), in place, with the mean and the biased variance of every
// image and channel over its voxels (sums in double). summand may be NULL.
ck_status ck_instance_norm(int64_t batch, int64_t voxels, int64_t channels, float *x, const float *scale,
                           const float *shift, float epsilon, float negative_slope, const float *summand);

// Linear enlargement by a whole factor on every axis, half-pixel centres, edges repeated (torch's align_corners=False).
// output (+)= enlarged(input); `adds` 1 keeps what output holds as a summand. Two axes: depth 1 and depth_factor 1.
ck_status ck_upsample(int64_t batch, int64_t depth, int64_t height, int64_t width, int64_t channels, int depth_factor,
                      int factor, const float *input, float *output, int adds);

// x = 1 / (1 + exp(-x)), in place.
void ck_sigmoid(int64_t count, float *x);

// x = x < 0 ? negative_slope * x : x, in place.
void ck_leaky_relu(int64_t count, float negative_slope, float *x);

// Resamples the middle axis of input [outer, n, inner] to output [outer, m, inner]: output i is the sum of `counts[i]`
// samples from `firsts[i]` on, weighted by weights[i * stride...].
void ck_resample(int64_t outer, int64_t n, int64_t m, int64_t inner, const int32_t *firsts, const int32_t *counts,
                 const float *weights, int64_t stride, const float *input, float *output);

// Rounds to the nearest bf16, ties to even; NaN stays NaN.
void ck_to_bf16(int64_t count, const float *input, uint16_t *output);

#ifdef __cplusplus
}
#endif
