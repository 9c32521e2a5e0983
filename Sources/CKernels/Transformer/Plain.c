// SPDX-License-Identifier: Apache-2.0
//
// Products and attention in plain C: the reference for every other path, and the path of processors without a faster
// one. Letters: M rows, N outputs and K inputs of a product; T tokens of an attention, D numbers per head.

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "Numbers.h"
#include "../Parallel.h"
#include "Transformer.h"

static float element(const void *values, ck_precision form, int64_t at) {
    return form == ck_bf16 ? ck_widened(((const uint16_t *)values)[at]) : ((const float *)values)[at];
}

static void put(void *values, ck_precision form, int64_t at, float value) {
    if (form == ck_bf16)
        ((uint16_t *)values)[at] = ck_rounded(value);
    else
        ((float *)values)[at] = value;
}

// Products ------------------------------------------------------------------------------------------------------------

static size_t packed_size(const ck_matrix *matrix) { return (size_t)(matrix->n * matrix->k) * sizeof(float); }

// Packs the weight transposed, [K, N], so that the innermost loop runs over neighbours.
static void pack(const ck_matrix *matrix, const float *weight) {
    float *packed = matrix->packed;
    for (int64_t n = 0; n < matrix->n; n++)
        for (int64_t k = 0; k < matrix->k; k++) {
            float value = weight[n * matrix->k + k];
            packed[k * matrix->n + n] = matrix->precision == ck_bf16 ? ck_widened(ck_rounded(value)) : value;
        }
}

typedef struct {
    const ck_matrix *matrix;
    const ck_multiplication *m;
    atomic_int status;
} product;

CK_VECTORISED static void add_scaled(float *restrict sum, const float *restrict row, float factor, int64_t count) {
    for (int64_t i = 0; i < count; i++) sum[i] += factor * row[i];
}

static float activated(float x, ck_activation activation) {
    switch (activation) {
    case ck_gelu: return 0.5f * x * (1 + erff(x * (float)M_SQRT1_2));
    case ck_relu: return x < 0 ? 0 : x;
    default: return x;
    }
}

static void multiply_rows(void *context, int64_t first, int64_t last) {
    product *p = context;
    const ck_matrix *matrix = p->matrix;
    const ck_multiplication *m = p->m;
    int64_t N = matrix->n, K = matrix->k;
    const float *packed = matrix->packed;
    float *sum = ck_scratch(0, (size_t)N * sizeof *sum);
    if (sum == NULL) {
        p->status = ck_out_of_memory;
        return;
    }
    for (int64_t row = first; row < last; row++) {
        memset(sum, 0, (size_t)N * sizeof *sum);
        for (int64_t k = 0; k < K; k++)
            add_scaled(sum, packed + k * N, element(m->input, matrix->precision, row * m->input_stride + k), N);
        for (int64_t n = 0; n < N; n++) {
            float value = sum[n] + matrix->bias[n];
            float residual = m->residual ? m->residual[ck_row_start(m, row, m->residual_stride) + n] : 0;
            value = m->activates_last ? activated(value + residual, m->activation)
                                      : activated(value, m->activation) + residual;
            put(m->output, m->output_form, ck_row_start(m, row, m->output_stride) + n, value);
        }
    }
}

static ck_status multiply(const ck_matrix *matrix, const ck_multiplication *m) {
    product p = {matrix, m, ck_ok};
    ck_parallel(m->rows, multiply_rows, &p);
    return (ck_status)p.status;
}

// Attention -----------------------------------------------------------------------------------------------------------

typedef struct {
    const ck_self_attention *a;
    int64_t height, width;  // of the keys of a window
    int64_t query_height, query_width;  // of the queries of a window
    int64_t all_height, all_width;  // of all queries
    int64_t down, across;  // windows
    atomic_int status;
} attention;

// A number of the token at (y, x): part 0 is q, 1 is k, 2 is v.
static float token(const ck_self_attention *a, int64_t image, int64_t y, int64_t x, int64_t part, int64_t head,
                   int64_t d) {
    int64_t channel = (part * a->heads + head) * a->head_size + d, size = part == 2 ? ck_value_size(a) : a->head_size;
    const void *own = part == 0 ? a->query : part == 1 ? a->key : a->value;
    int64_t height = part == 0 && own ? a->query_height : a->height;
    int64_t width = part == 0 && own ? a->query_width : a->width;
    if (own && y < height && x < width)
        return element(own, a->form, ((image * height + y) * width + x) * a->heads * size + head * size + d);
    if (y < height && x < width)
        return element(a->qkv, a->form, ((image * a->height + y) * a->width + x) * 3 * a->heads * a->head_size + channel);
    float value = a->padding[channel];
    return a->form == ck_bf16 ? ck_widened(ck_rounded(value)) : value;
}

// Computes the output row of one query of the window (down, across). `scores` and `q` are scratch memory of T and D
// numbers.
static void attend_query(const attention *at, int64_t image, int64_t down, int64_t across, int64_t head, int64_t query,
                         float *scores, float *q) {
    const ck_self_attention *a = at->a;
    int64_t D = a->head_size, V = ck_value_size(a), T = at->height * at->width;
    int64_t y = query / at->query_width, x = query % at->query_width;
    int64_t query_y = down * at->query_height + y, query_x = across * at->query_width + x;
    int64_t top = down * at->height, left = across * at->width;
    for (int64_t d = 0; d < D; d++) q[d] = token(a, image, query_y, query_x, 0, head, d);
    float largest = -INFINITY;
    for (int64_t key = 0; key < T; key++) {
        int64_t v = key / at->width, u = key % at->width;
        float score = 0, relative = 0;
        for (int64_t d = 0; d < D; d++) score += q[d] * token(a, image, top + v, left + u, 1, head, d);
        if (a->rel_height)
            for (int64_t d = 0; d < D; d++)
                relative += q[d] * (a->rel_height[(y - v + at->height - 1) * D + d] +
                                    a->rel_width[(x - u + at->width - 1) * D + d]);
        if (a->bias) relative += a->bias[(head * T + key) * T + query];
        scores[key] = score * a->scale + relative;
        if (scores[key] > largest) largest = scores[key];
    }
    float sum = 0;
    for (int64_t key = 0; key < T; key++) sum += scores[key] = expf(scores[key] - largest);
    int64_t row = (image * at->all_height + query_y) * at->all_width + query_x;
    for (int64_t d = 0; d < V; d++) {
        float value = 0;
        for (int64_t key = 0; key < T; key++)
            value += scores[key] * token(a, image, top + key / at->width, left + key % at->width, 2, head, d);
        put(a->output, a->form, (row * a->heads + head) * V + d, value / sum);
    }
}

static void attend_items(void *context, int64_t first, int64_t last) {
    attention *at = context;
    const ck_self_attention *a = at->a;
    int64_t T = at->height * at->width, Q = at->query_height * at->query_width;
    float *scores = ck_scratch(0, (size_t)(T + a->head_size) * sizeof *scores);
    if (scores == NULL) {
        at->status = ck_out_of_memory;
        return;
    }
    for (int64_t item = first; item < last; item++) {
        int64_t query = item % Q, rest = item / Q;
        int64_t head = rest % a->heads, window = rest / a->heads;
        int64_t image = window / (at->down * at->across), place = window % (at->down * at->across);
        int64_t down = place / at->across, across = place % at->across;
        if (down * at->query_height + query / at->query_width < at->all_height &&
            across * at->query_width + query % at->query_width < at->all_width)
            attend_query(at, image, down, across, head, query, scores, scores + T);
    }
}

static ck_status attend(const ck_self_attention *a) {
    int64_t height = a->window ? a->window : a->height, width = a->window ? a->window : a->width;
    attention at = {a,        height,    width,    height,
                    width,    a->height, a->width, (a->height + height - 1) / height,
                    (a->width + width - 1) / width, ck_ok};
    if (a->query) {
        at.all_height = a->query_height, at.all_width = a->query_width;
        at.query_height = a->query_window ? a->query_window : a->query_height;
        at.query_width = a->query_window ? a->query_window : a->query_width;
    }
    ck_parallel(a->batch * at.down * at.across * a->heads * at.query_height * at.query_width, attend_items, &at);
    return (ck_status)at.status;
}

// Rows ----------------------------------------------------------------------------------------------------------------

static void sigmoid_values(int64_t count, float *x, float scale, float shift) {
    for (int64_t i = 0; i < count; i++) x[i] = scale / (1 + expf(-x[i])) + shift;
}

static void norm_values(int64_t C, const float *x, const float *weight, const float *bias, float epsilon,
                        ck_activation activation, void *output, ck_precision form) {
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < C; c++) sum += x[c];
    float mean = (float)(sum / (double)C);
    for (int64_t c = 0; c < C; c++) squares += (x[c] - mean) * (x[c] - mean);
    float factor = 1 / sqrtf((float)(squares / (double)C) + epsilon);
    for (int64_t c = 0; c < C; c++)
        put(output, form, c, activated((x[c] - mean) * factor * weight[c] + bias[c], activation));
}

static void depthwise_row(const ck_depthwise_layer *p, int64_t image, int64_t row) {
    int64_t C = p->channels, reach = p->kernel / 2;
    for (int64_t column = 0; column < p->columns; column++)
        for (int64_t c = 0; c < C; c++) {
            float sum = p->bias ? p->bias[c] : 0;
            for (int64_t tap = 0; tap < p->kernel * p->kernel; tap++) {
                int64_t y = row * p->stride - reach + tap / p->kernel, x = column * p->stride - reach + tap % p->kernel;
                if (y >= 0 && y < p->height && x >= 0 && x < p->width)
                    sum += p->input[((image * p->height + y) * p->width + x) * C + c] * p->weight[tap * C + c];
            }
            p->output[((image * p->rows + row) * p->columns + column) * C + c] = activated(sum, p->activation);
        }
}

static void downsample_row(const ck_mask_layer *p, int64_t row) {
    int64_t C = p->channels, columns = p->width / 2;
    float sums[ck_mask_channels];
    for (int64_t column = 0; column < columns; column++) {
        for (int64_t c = 0; c < C; c++) {
            sums[c] = p->bias[c];
            for (int64_t tap = 0; tap < 9; tap++) {
                int64_t y = 2 * row + tap / 3 - 1, x = 2 * column + tap % 3 - 1;
                if (y >= 0 && x >= 0) sums[c] += p->mask[y * p->width + x] * p->weight[c * 9 + tap];
            }
        }
        int64_t at = (row * columns + column) * C;
        void *to = p->form == ck_fp32 ? (void *)((float *)p->output + at) : (void *)((uint16_t *)p->output + at);
        norm_values(C, sums, p->norm_weight, p->norm_bias, p->epsilon, ck_gelu, to, p->form);
    }
}

static void dot_values(int64_t k, int64_t count, const float *x, const float *vectors, float *output, int64_t step) {
    for (int64_t v = 0; v < count; v++) {
        float sum = 0;
        for (int64_t i = 0; i < k; i++) sum += x[i] * vectors[v * k + i];
        output[v * step] = sum;
    }
}

static double run_bare(int64_t rounds, ck_precision precision) {
    (void)precision;
    volatile float small = 0x1p-20f;
    float sums[8] = {0, 1, 2, 3, 4, 5, 6, 7}, word = small;
    for (int64_t k = 0; k < rounds; k++)
        for (int i = 0; i < 8; i++) sums[i] += word * word;
    for (int i = 0; i < 8; i++) small = sums[i];
    return (double)rounds * 8 * 2;
}

const ck_kernels ck_plain_kernels = {
    .packed_size = packed_size, .pack = pack, .multiply = multiply, .attend = attend,
    .sigmoid = sigmoid_values, .norm = norm_values, .depthwise = depthwise_row, .downsample = downsample_row,
    .dot = dot_values, .bare = run_bare};
