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

// Widens bf16 to fp32, exactly.
void ck_from_bf16(int64_t count, const uint16_t *input, float *output);

// Paths of the transformer kernels -----------------------------------------------------------------------------------
//
// Everything below, down to the end, exists once for each instruction set. Every path computes both precisions; sums,
// maxima and exponentials are fp32 in all. Without bf16 instructions (`ck_path_has_bf16` 0) operands in bf16 are
// widened: right, and no faster than fp32. The emulated paths run the code of the hardware path on a processor without
// its instructions, slowly, so that it can be tested there.

typedef enum {
    ck_path_plain = 0,  // C without intrinsics: the oracle of the others
    ck_path_avx2 = 1,
    ck_path_avx512 = 2,
    ck_path_avx512_bf16 = 3,
    ck_path_amx = 4,
    ck_path_emulated_avx512 = 5,
    ck_path_emulated_avx512_bf16 = 6,
    ck_path_emulated_amx = 7
} ck_path;
enum { ck_path_count = 8 };

// "plain", "avx2", "avx512", "avx512-bf16", "amx", "emulated-avx512", ...; NULL for a number that is no path.
const char *ck_path_name(ck_path path);

// 1 when this processor, and its operating system, can run the path.
int ck_path_available(ck_path path);

// 1 when the path has instructions for bf16 products.
int ck_path_has_bf16(ck_path path);

// The path of matrices made from now on and of attention. Before `ck_choose_path` it is the best available one.
ck_path ck_current_path(void);

// Takes another path: ck_unsupported where it is not available. Matrices keep the path they were packed for. Any path
// but the plain one is first compared with it, once in a process; where they disagree the next best path is taken
// instead, and `ck_path_warning` says so. From one thread, before others compute.
ck_status ck_choose_path(ck_path path);

// What is to be told to the operator about the path in use; "" when there is nothing.
const char *ck_path_warning(void);

// Matrices ------------------------------------------------------------------------------------------------------------

typedef struct ck_matrix ck_matrix;

// Packs weight [n, k] and bias [n] (NULL: none), both fp32 and copied, for the current path. ck_bf16 rounds the weight,
// and rows to multiply are then bf16 too; the bias stays fp32. A matrix is never changed afterwards: any thread may use
// it.
ck_status ck_matrix_create(int64_t n, int64_t k, const float *weight, const float *bias, ck_precision precision,
                           ck_matrix **matrix);

void ck_matrix_destroy(ck_matrix *matrix);

typedef enum { ck_identity = 0, ck_gelu = 1 /* with erf */, ck_relu = 2 } ck_activation;

typedef struct {
    int64_t rows;
    const void *input;  // [rows, k] in the matrix's precision
    int64_t input_stride;  // elements between rows
    void *output;  // [rows, n]; no overlap with the input
    ck_precision output_form;
    int64_t output_stride;
    ck_activation activation;
    const float *residual;  // [rows, n] fp32 or NULL; may be the output itself where that is fp32
    int64_t residual_stride;
    int activates_last;  // 0: activation(product + bias) + residual; 1: activation(product + bias + residual)
} ck_multiplication;

// output = input weight^T + bias, with the activation and the residual that `m` asks for.
ck_status ck_matrix_multiply(const ck_matrix *matrix, const ck_multiplication *m);

// Attention -----------------------------------------------------------------------------------------------------------

// Self-attention over a grid of tokens, or over square windows of it, with relative positions decomposed by axis
// (SAM's image encoder) or a table of biases (TinyViT). T is the number of tokens that attend to each other: S * S with
// windows of S, else height * width; Sh, Sw are S, or height and width. The grid is extended to the right and below to
// whole windows: tokens outside it are attended to as `padding` says, unmasked, and have no output.
typedef struct {
    int64_t batch, height, width;
    int64_t window;  // S; 0: the whole grid
    int64_t heads, head_size;  // head_size: 1...256
    ck_precision form;  // of qkv and output
    const void *qkv;  // [batch, height * width, 3, heads, head_size]
    const float *padding;  // [3, heads, head_size]: q (unused), k, v of a token outside the grid; needed where windows
                           // do not divide the grid, else NULL
    float scale;  // of q k^T; above 0
    // Relative positions, or both NULL: the score of query (y, x) and key (v, u) grows by q . rel_height[y - v + Sh - 1]
    // + q . rel_width[x - u + Sw - 1], with the q that is not scaled.
    const float *rel_height, *rel_width;  // [2 Sh - 1, head_size], [2 Sw - 1, head_size]
    const float *bias;  // [heads, T, T] or NULL: bias[head][key][query] is added to the scaled score. (The key comes
                        // first; TinyViT's table is symmetric.)
    void *output;  // [batch, height * width, heads * head_size]
} ck_self_attention;

ck_status ck_attend(const ck_self_attention *a);

// Attention of any queries to any keys, fp32 only: the mask decoder's. Rows hold heads * head_size values side by side.
// Batch strides count elements between the first rows of neighbouring batch entries; 0 shares one among all.
typedef struct {
    int64_t batch, queries, keys;
    int64_t heads, head_size;
    float scale;
    const float *query, *key, *value;
    int64_t query_batch_stride, query_stride;
    int64_t key_batch_stride, key_stride;
    int64_t value_batch_stride, value_stride;
    float *output;  // [batch, queries, heads * head_size], dense
} ck_cross_attention;

ck_status ck_cross_attend(const ck_cross_attention *a);

// Few tokens, many places -------------------------------------------------------------------------------------------

// The mask decoder's attention between a prompt's tokens and the image's places, in fp32, without a projection of any
// place: what would multiply every place is multiplied into the tokens, since q . (K x) = (K^T q) . x. Tokens then have a
// vector of the places' channels for each of 8 heads; vector j = 8 token + head.
//
// With `key` the places attend to the tokens: output[n] = norm(rows[n] + bias + sum over j of share[n][j] value[j]),
// shares being the softmax over a head's tokens of key[j] . (rows[n] + positions[n]) + offset[j]. With `query` the tokens
// attend to the places as they are then: sums[j] = sum over n of share[j][n] row[n], shares being the softmax over all
// places of query[j] . (row[n] + positions[n]).
typedef struct {
    int64_t places, tokens;
    int64_t channels;  // a multiple of 32
    const float *rows, *positions;  // [places, channels]
    const float *key, *offset, *value;  // [8 tokens, channels], [8 tokens], [8 tokens, channels]; key NULL: rows stay
    const float *bias, *norm_weight, *norm_bias;  // [channels]
    float epsilon;
    float *output;  // [places, channels]; may be `rows`
    const float *query;  // [8 tokens, channels] or NULL
    float *sums;  // [8 tokens, channels]
} ck_pass;

ck_status ck_pass_tokens(const ck_pass *pass);

// output[row, head, :] = scale * x[row, head, :] matrix[head], with matrix [heads, head_size, channels].
void ck_fold_heads(int64_t rows, int64_t heads, int64_t head_size, int64_t channels, float scale, const float *x,
                   const float *matrix, float *output);

// output[row, head, :] = bias[head] + x[row, head, :] matrix[head], with matrix [heads, channels, head_size].
void ck_unfold_heads(int64_t rows, int64_t heads, int64_t head_size, int64_t channels, const float *x,
                     const float *matrix, const float *bias, float *output);

// Multiply-adds on registers alone, on every thread: what products could reach at most. Returns the operations done, a
// product and its sum being two.
double ck_bare_loop(int64_t rounds, ck_precision precision);

// Layers of transformers ----------------------------------------------------------------------------------------------

// output = (row - mean) / sqrt(variance + epsilon) * weight + bias over the channels of every row, biased variance.
// Also the LayerNorm2d of channels-last images. In place where output is input, fp32 and of equal stride.
void ck_layer_norm(int64_t rows, int64_t channels, const float *input, int64_t input_stride, const float *weight,
                   const float *bias, float epsilon, void *output, ck_precision output_form, int64_t output_stride);

// x = x / 2 * (1 + erf(x / sqrt 2)), in place.
void ck_gelu_in_place(int64_t count, float *x);

// output[b, i] = x[b, i] + addend[i] for i < count; addend_stride elements between batch entries of addend, 0 shares
// it. output may be x.
void ck_add(int64_t batch, int64_t count, const float *x, const float *addend, int64_t addend_stride, float *output);

// Depthwise 3 x 3 convolution, padding 1, channels last. weight [3, 3, channels], bias [channels] or NULL. The output
// [batch, (height - 1) / stride + 1, (width - 1) / stride + 1, channels] is not the input.
void ck_depthwise(int64_t batch, int64_t height, int64_t width, int64_t channels, int64_t stride, const float *input,
                  const float *weight, const float *bias, ck_activation activation, float *output);

// The patches that a convolution of kernel x kernel sees, zeros outside, as rows for a matrix [n, kernel * kernel *
// channels] whose columns are ordered (ky, kx, channel). output [batch, out_height, out_width, kernel, kernel,
// channels] with out = (in + 2 padding - kernel) / stride + 1. (A 2 x 2 convolution of stride 2 has k = 2, s = 2, p = 0.)
void ck_patches(int64_t batch, int64_t height, int64_t width, int64_t channels, int64_t kernel, int64_t stride,
                int64_t padding, const float *input, void *output, ck_precision output_form);

// [batch, height, width, factor, factor, channels] -> [batch, height * factor, width * factor, channels].
// A transposed convolution with kernel = stride = f is a matrix [f * f * outputs, inputs], its rows ordered (ky, kx,
// output), and this shuffle. What works on single pixels (LayerNorm2d, GELU, further such matrices, ck_dot_rows) may
// come before the shuffle, which then moves only the last result: shuffle the inner factor last.
void ck_pixel_shuffle(int64_t batch, int64_t height, int64_t width, int64_t factor, int64_t channels,
                      const float *input, float *output);

// output[v, row] = x[row, :] . vectors[v, :] for a few vectors: the mask decoder's masks. x [rows, k], vectors
// [count, k], output [count, rows]; count at most 16.
void ck_dot_rows(int64_t rows, int64_t k, int64_t count, const float *x, const float *vectors, float *output);

#ifdef __cplusplus
}
#endif
