// SPDX-License-Identifier: Apache-2.0
//
// The computing kernels: convolutions on oneDNN 2.6, plain products on OpenBLAS, and kernels written here.
//
// Layout: activations are fp32, dense and channels last: [batch, (depth,) height, width, channels]. Sizes and strides
// count elements.
//
// Ownership: the caller owns every buffer that it passes. A function reads or writes the buffer during the call only;
// create functions copy weights. A handle that a create function returns belongs to the caller, who passes it to the
// matching destroy function. Arguments do not overlap unless the function's comment allows it.
//
// Threads: call `ck_start` first. It fixes the number of threads for the whole process. Then call all functions from
// one thread, because OpenMP creates and keeps a team of threads for each calling thread. A call from another thread
// gives the same results. The functions do not lock: two threads must not run the same convolution at the same time,
// and `ck_choose_path` must not run beside another function.
//
// Results: the same input, processor, precision and thread count give the same bits. The kernels written here do not
// depend on the thread count either, because they take every sum over blocks of a fixed size, in order.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    ck_ok = 0,
    ck_out_of_memory = 1,
    ck_unsupported = 2,  // the processor or the library does not have an implementation
    ck_bad_argument = 3,
    ck_backend_failed = 4  // oneDNN reported another error
} ck_status;

typedef enum { ck_fp32 = 0, ck_bf16 = 1 } ck_precision;

// Fixes the number of threads (1...256) and limits OpenBLAS to the calling thread. A later call with another number
// returns ck_bad_argument.
ck_status ck_start(int threads);

// The number of threads that `ck_start` fixed, or 0 before that call.
int ck_threads(void);

// 1 if convolutions can run in bf16: the processor has AVX512-BF16 or AMX, and ONEDNN_MAX_CPU_ISA does not hide them.
int ck_has_bf16(void);

// Convolution ---------------------------------------------------------------------------------------------------------

typedef struct {
    int axes;  // 2 or 3
    int inputs, outputs;  // channels
    int kernel, stride, padding;  // the same on every axis; the padding consists of zeros
    int adds;  // 1: on entry, the output buffer holds a summand, which is added before the activation
    float negative_slope;  // the activation: 1 is none, 0 is ReLU, any other value is leaky ReLU
} ck_convolution_shape;

typedef struct ck_convolution ck_convolution;

// Creates a convolution from copies of the weights, [outputs, inputs, (kernel,) kernel, kernel], and of the bias,
// [outputs] or NULL. With ck_bf16, inputs and weights are rounded to bf16 and sums are fp32; the function returns
// ck_unsupported if `ck_has_bf16` is 0. A shape without a bf16 kernel is computed in fp32.
ck_status ck_convolution_create(const ck_convolution_shape *shape, const float *weight, const float *bias,
                                ck_precision precision, ck_convolution **convolution);

// output = activation(convolution(input) + bias (+ output)). `size` holds the `axes` extents of the input. If they
// differ from those of the last call, the function compiles the kernel and packs the weights again.
ck_status ck_convolution_run(ck_convolution *convolution, int64_t batch, const int64_t *size, const float *input,
                             float *output);

// The name of oneDNN's implementation in the last run, such as "jit:avx2", or "" before the first run. The text is
// valid until the next run or the destruction.
const char *ck_convolution_implementation(const ck_convolution *convolution);

// Frees a convolution; NULL is allowed.
void ck_convolution_destroy(ck_convolution *convolution);

// Products ------------------------------------------------------------------------------------------------------------

// c[rows, n] = a[rows, k] b[n, k]^T + bias[n]; bias may be NULL.
void ck_product(int64_t rows, int64_t n, int64_t k, const float *a, const float *b, const float *bias, float *c);

// Layers written here -------------------------------------------------------------------------------------------------

// Instance norm, in place: x = activation(normalised(x) * scale + shift (+ summand)). x and summand are
// [batch, voxels, channels], scale and shift are [channels]. Mean and biased variance are those of every image and
// channel over its voxels, with sums in double precision. summand may be NULL.
ck_status ck_instance_norm(int64_t batch, int64_t voxels, int64_t channels, float *x, const float *scale,
                           const float *shift, float epsilon, float negative_slope, const float *summand);

// Linear enlargement by a whole factor on every axis, with half-pixel centres and repeated edges (torch's
// align_corners=False): output (+)= enlarged(input). With `adds` 1, the enlarged input is added to the content of
// output. For two axes, pass depth 1 and depth_factor 1.
ck_status ck_upsample(int64_t batch, int64_t depth, int64_t height, int64_t width, int64_t channels, int depth_factor,
                      int factor, const float *input, float *output, int adds);

// x = 1 / (1 + exp(-x)), in place.
void ck_sigmoid(int64_t count, float *x);

// Resamples the middle axis of input [outer, n, inner] to output [outer, m, inner]. Output i is the sum of `counts[i]`
// samples from sample `firsts[i]` on, weighted by weights[i * stride...].
void ck_resample(int64_t outer, int64_t n, int64_t m, int64_t inner, const int32_t *firsts, const int32_t *counts,
                 const float *weights, int64_t stride, const float *input, float *output);

// Resamples the first axis of bytes [n, inner] to output [m, inner], as ck_resample does.
void ck_resample_bytes(int64_t n, int64_t m, int64_t inner, const int32_t *firsts, const int32_t *counts,
                       const float *weights, int64_t stride, const uint8_t *input, float *output);

// Rounds to the nearest bf16, ties to even; NaN stays NaN.
void ck_to_bf16(int64_t count, const float *input, uint16_t *output);

// Paths of the transformer kernels -----------------------------------------------------------------------------------
//
// All functions from here to the end exist once per instruction set, called a path. Every path computes both
// precisions, and every path takes sums, maxima and exponentials in fp32. A path without bf16 instructions
// (`ck_path_has_bf16` 0) widens bf16 operands, which is correct but not faster than fp32. An emulated path runs the
// code of a hardware path on a processor without its instructions. It is slow and exists for tests.

typedef enum {
    ck_path_plain = 0,  // C without intrinsics: the reference for the other paths
    ck_path_avx2 = 1,
    ck_path_avx512 = 2,
    ck_path_avx512_bf16 = 3,
    ck_path_amx = 4,
    ck_path_emulated_avx512 = 5,
    ck_path_emulated_avx512_bf16 = 6,
    ck_path_emulated_amx = 7
} ck_path;
enum { ck_path_count = 8 };

// "plain", "avx2", "avx512", "avx512-bf16", "amx", "emulated-avx512", ...; NULL for a number that is not a path. The
// text is static.
const char *ck_path_name(ck_path path);

// 1 if this processor and its operating system can run the path.
int ck_path_available(ck_path path);

// 1 if the path has instructions for bf16 products.
int ck_path_has_bf16(ck_path path);

// The path of attention, and of the matrices that are created from now on. Before `ck_choose_path`, it is the best
// available path.
ck_path ck_current_path(void);

// Takes another path, or returns ck_unsupported if it is not available. Matrices keep the path that they were packed
// for. When a path other than the plain one is first taken in a process, it is compared with the plain one. If they
// disagree, the next best path replaces it, and `ck_path_warning` says so. Call this function from one thread, before
// other threads compute.
ck_status ck_choose_path(ck_path path);

// A warning for the operator about the path in use, or "". The text is valid until the next `ck_choose_path`.
const char *ck_path_warning(void);

// Matrices ------------------------------------------------------------------------------------------------------------

typedef struct ck_matrix ck_matrix;

// Packs copies of the weight [n, k] and of the bias [n] (or NULL), both fp32, for the current path. With ck_bf16, the
// weight is rounded to bf16, and the input rows must be bf16; the bias stays fp32. A matrix does not change afterwards,
// so any thread may use it.
ck_status ck_matrix_create(int64_t n, int64_t k, const float *weight, const float *bias, ck_precision precision,
                           ck_matrix **matrix);

// Frees a matrix; NULL is allowed.
void ck_matrix_destroy(ck_matrix *matrix);

typedef enum { ck_identity = 0, ck_gelu = 1 /* with erf */, ck_relu = 2 } ck_activation;

typedef struct {
    int64_t rows;
    const void *input;  // [rows, k] in the matrix's precision
    int64_t input_stride;  // elements between the starts of neighbouring rows
    void *output;  // [rows, n]; does not overlap the input
    ck_precision output_form;
    int64_t output_stride;
    ck_activation activation;
    const float *residual;  // [rows, n] fp32 or NULL; may be the output itself if that is fp32
    int64_t residual_stride;
    int activates_last;  // 0: activation(product + bias) + residual; 1: activation(product + bias + residual)
    // If above 0, rows of the output and of the residual come in groups of `group` rows. Strides hold within a group,
    // and groups begin `group_stride` elements apart. An enlarging convolution writes every second row of an image.
    int64_t group, group_stride;
} ck_multiplication;

// output = input weight^T + bias, with the activation and the residual of `m`.
ck_status ck_matrix_multiply(const ck_matrix *matrix, const ck_multiplication *m);

// Attention -----------------------------------------------------------------------------------------------------------

// Attention over a grid of tokens, or within square windows of it. Relative positions are decomposed by axis (SAM's
// image encoder) or given as a table of biases (TinyViT). Queries come from the same tokens as the keys, or from a grid
// of their own (SAM 2's pooled queries and its memory attention).
//
// T is the number of tokens that attend to each other: S * S with windows of S x S tokens, otherwise height * width. Sh
// and Sw are S, or height and width. The grid is extended on the right and below to whole windows. Tokens outside the
// grid have the q, k and v of `padding`. Other tokens attend to them without a mask, but they do not have an output.
typedef struct {
    int64_t batch, height, width;
    int64_t window;  // S, or 0 for the whole grid
    int64_t heads, head_size;  // head_size: 1...256
    ck_precision form;  // of qkv and output
    const void *qkv;  // [batch, height * width, 3, heads, head_size]; NULL if query, key and value are all given
    // Queries of their own, or NULL: [batch, query_height * query_width, heads, head_size]. Windows of query_window x
    // query_window queries (0: the whole grid) attend to the windows of the keys, one to one. There are no relative
    // positions and no biases then, and the output has the grid of the queries.
    const void *query;
    int64_t query_height, query_width, query_window;
    const void *key, *value;  // [batch, height * width, heads, head_size] instead of those of qkv, or both NULL
    int64_t value_size;  // the numbers of a head in `value` and in the output, if they are not head_size; else 0
    const float *padding;  // [3, heads, head_size]: q (unused), k and v of a token outside the grid; NULL if windows
                           // divide the grid
    float scale;  // the factor of q k^T; above 0
    // Relative positions, or both NULL. The score of query (y, x) and key (v, u) grows by
    // q . rel_height[y - v + Sh - 1] + q . rel_width[x - u + Sw - 1], with the unscaled q.
    const float *rel_height, *rel_width;  // [2 Sh - 1, head_size], [2 Sw - 1, head_size]
    const float *bias;  // [heads, T, T] or NULL: bias[head][key][query] is added to the scaled score. The key comes
                        // first; TinyViT's table is symmetric.
    void *output;  // [batch, height * width (or query_height * query_width), heads * head_size (or value_size)]
} ck_self_attention;

ck_status ck_attend(const ck_self_attention *a);

// Attention of any queries to any keys, in fp32, for the tokens of the mask decoder. A row holds heads * head_size
// values side by side. A batch stride counts the elements between the first rows of neighbouring batch entries; 0
// means that all batch entries share one set of rows.
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

// The mask decoder's attention between the tokens of a prompt and the places of the image, in fp32. A place is one
// position of the image embedding's grid. The places are not projected. Since q . (K x) = (K^T q) . x, a matrix that
// would multiply every place multiplies the tokens instead. Each token then has a vector of the places' channels for
// each of 8 heads; vector j = 8 * token + head.
//
// If `key` is set, the places attend to the tokens:
//     output[n] = norm(rows[n] + bias + sum over j of share[n][j] value[j])
// The shares are the softmax, over the tokens of each head, of key[j] . (rows[n] + positions[n]) + offset[j].
//
// If `query` is set, the tokens attend to the places as the first step left them:
//     sums[j] = sum over n of share[j][n] row[n]
// The shares are the softmax, over all places, of query[j] . (row[n] + positions[n]).
typedef struct {
    int64_t places, tokens;
    int64_t channels;  // a multiple of 32
    const float *rows, *positions;  // [places, channels]
    const float *key, *offset, *value;  // [8 tokens, channels], [8 tokens], [8 tokens, channels]; key may be NULL
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

// Runs multiply-adds on registers alone, on every thread: an upper bound for the speed of products. Returns the number
// of operations; a product and its sum count as two.
double ck_bare_loop(int64_t rounds, ck_precision precision);

// Layers of transformers ----------------------------------------------------------------------------------------------

// Layer norm over the channels of every row, with biased variance:
//     output = activation((row - mean) / sqrt(variance + epsilon) * weight + bias)
// It is also the LayerNorm2d of channels-last images. The output may be the input if it is fp32 with the same stride.
void ck_layer_norm(int64_t rows, int64_t channels, const float *input, int64_t input_stride, const float *weight,
                   const float *bias, float epsilon, ck_activation activation, void *output, ck_precision output_form,
                   int64_t output_stride);

// x = scale / (1 + exp(-x)) + shift, in place.
void ck_scaled_sigmoid(int64_t count, float *x, float scale, float shift);

// output[b, i] = x[b, i] + addend[i] for i < count. addend_stride counts the elements between the batch entries of
// addend; 0 means that all batch entries share one addend. output may be x.
void ck_add(int64_t batch, int64_t count, const float *x, const float *addend, int64_t addend_stride, float *output);

// Depthwise convolution with an odd kernel and padding kernel / 2, channels last. weight is [kernel, kernel, channels],
// bias is [channels] or NULL. The output is [batch, (height - 1) / stride + 1, (width - 1) / stride + 1, channels] and
// does not overlap the input.
void ck_depthwise(int64_t batch, int64_t height, int64_t width, int64_t channels, int64_t kernel, int64_t stride,
                  const float *input, const float *weight, const float *bias, ck_activation activation, float *output);

// The first step of the downsampling of SAM 2's masks, in fp32: a convolution of one channel with kernel 3, stride 2
// and padding 1, a layer norm over its outputs, and GELU. mask is [height, width], both even; weight is
// [channels, 3, 3] with at most `ck_mask_channels` channels (ck_bad_argument), the other vectors are [channels]. The
// output is [height / 2, width / 2, channels].
enum { ck_mask_channels = 64 };
ck_status ck_downsample_mask(int64_t height, int64_t width, int64_t channels, const float *mask, const float *weight,
                             const float *bias, const float *norm_weight, const float *norm_bias, float epsilon,
                             void *output, ck_precision output_form);

// Maxima over 2 x 2 places: [height, width] rows of `channels` numbers, `input_stride` numbers apart, to
// [height / 2, width / 2, channels], both in `form`. Height and width are even.
void ck_max_pool(int64_t height, int64_t width, int64_t channels, const void *input, int64_t input_stride, void *output,
                 ck_precision form);

// Rotates pairs of neighbouring channels: output[r][2 j] + i output[r][2 j + 1] =
// (input[r][2 j] + i input[r][2 j + 1]) (cosine + i sine)[r % period][j]. input is [rows, channels], cosines and sines
// are [period, channels / 2]. The output may be the input if its form is fp32.
void ck_rotate(int64_t rows, int64_t channels, int64_t period, const float *input, const float *cosines,
               const float *sines, void *output, ck_precision output_form);

// Copies the patches that a convolution of kernel x kernel sees, with zeros outside the image, as rows for a matrix
// [n, kernel * kernel * channels] whose columns are ordered (ky, kx, channel). The output is
// [batch, out_height, out_width, kernel, kernel, channels] with out = (in + 2 * padding - kernel) / stride + 1. A 2 x 2
// convolution of stride 2 has kernel 2, stride 2 and padding 0. A bf16 input needs a bf16 output (ck_bad_argument).
ck_status ck_patches(int64_t batch, int64_t height, int64_t width, int64_t channels, int64_t kernel, int64_t stride,
                     int64_t padding, const void *input, ck_precision input_form, void *output,
                     ck_precision output_form);

// output[v, row] = x[row, :] . vectors[v, :] for a few vectors: the masks of the mask decoder. x is [rows, k], vectors
// is [count, k], output is [count, rows]; count is at most 16.
void ck_dot_rows(int64_t rows, int64_t k, int64_t count, const float *x, const float *vectors, float *output);

#ifdef __cplusplus
}
#endif
