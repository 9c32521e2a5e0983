// SPDX-License-Identifier: Apache-2.0
//
// The layers of transformers besides products and attention over grids. Letters: N images of H rows, W columns and C
// channels; D numbers per head.

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "Numbers.h"
#include "../Parallel.h"
#include "Transformer.h"

// Layer norm ----------------------------------------------------------------------------------------------------------

typedef struct {
    int64_t C, input_stride, output_stride;
    const float *input, *weight, *bias;
    float epsilon;
    void *output;
    ck_precision form;
    const ck_kernels *kernels;
} layer_norm;

static void norm_rows(void *context, int64_t first, int64_t last) {
    const layer_norm *n = context;
    for (int64_t row = first; row < last; row++) {
        const float *x = n->input + row * n->input_stride;
        size_t size = n->form == ck_bf16 ? sizeof(uint16_t) : sizeof(float);
        void *out = (char *)n->output + (size_t)(row * n->output_stride) * size;
        n->kernels->norm(n->C, x, n->weight, n->bias, n->epsilon, out, n->form);
    }
}

void ck_layer_norm(int64_t rows, int64_t channels, const float *input, int64_t input_stride, const float *weight,
                   const float *bias, float epsilon, void *output, ck_precision output_form, int64_t output_stride) {
    layer_norm n = {channels, input_stride, output_stride, input, weight, bias, epsilon, output, output_form,
                    ck_current_kernels()};
    ck_parallel(rows, norm_rows, &n);
}

// Pointwise -----------------------------------------------------------------------------------------------------------

typedef struct {
    const ck_kernels *kernels;
    int64_t count;
    float *x;
} gelu;

#define CHUNK 4096  // elements per item that a thread takes

static void gelu_chunks(void *context, int64_t first, int64_t last) {
    const gelu *g = context;
    int64_t end = last * CHUNK < g->count ? last * CHUNK : g->count;
    g->kernels->gelu(end - first * CHUNK, g->x + first * CHUNK);
}

void ck_gelu_in_place(int64_t count, float *x) {
    gelu g = {ck_current_kernels(), count, x};
    ck_parallel((count + CHUNK - 1) / CHUNK, gelu_chunks, &g);
}

typedef struct {
    int64_t count, stride;
    const float *x, *addend;
    float *output;
} sum;

CK_VECTORISED static void add_range(const float *x, const float *addend, float *output, int64_t count) {
    for (int64_t i = 0; i < count; i++) output[i] = x[i] + addend[i];
}

static void add_chunks(void *context, int64_t first, int64_t last) {
    const sum *s = context;
    int64_t chunks = (s->count + CHUNK - 1) / CHUNK;
    for (int64_t item = first; item < last; item++) {
        int64_t image = item / chunks, at = item % chunks * CHUNK;
        int64_t count = s->count - at < CHUNK ? s->count - at : CHUNK;
        add_range(s->x + image * s->count + at, s->addend + image * s->stride + at, s->output + image * s->count + at,
                  count);
    }
}

void ck_add(int64_t batch, int64_t count, const float *x, const float *addend, int64_t addend_stride, float *output) {
    sum s = {count, addend_stride, x, addend, output};
    ck_parallel(batch * ((count + CHUNK - 1) / CHUNK), add_chunks, &s);
}

// Depthwise convolution -----------------------------------------------------------------------------------------------

typedef struct {
    int64_t H, W, C, kernel, stride, rows, columns;
    const float *input, *weight, *bias;
    ck_activation activation;
    float *output;
    const ck_kernels *kernels;
} depthwise;

CK_VECTORISED static void add_products(float *restrict sum, const float *restrict x, const float *restrict w,
                                       int64_t count) {
    for (int64_t i = 0; i < count; i++) sum[i] += x[i] * w[i];
}

static void depthwise_rows(void *context, int64_t first, int64_t last) {
    const depthwise *p = context;
    int64_t C = p->C, kernel = p->kernel;
    for (int64_t row = first; row < last; row++) {
        int64_t image = row / p->rows, top = row % p->rows * p->stride - kernel / 2;
        float *out = p->output + row * p->columns * C;
        for (int64_t column = 0; column < p->columns; column++) {
            float *sum = out + column * C;
            if (p->bias)
                memcpy(sum, p->bias, (size_t)C * sizeof *sum);
            else
                memset(sum, 0, (size_t)C * sizeof *sum);
            for (int64_t tap = 0; tap < kernel * kernel; tap++) {
                int64_t y = top + tap / kernel, x = column * p->stride - kernel / 2 + tap % kernel;
                if (y < 0 || y >= p->H || x < 0 || x >= p->W) continue;
                add_products(sum, p->input + ((image * p->H + y) * p->W + x) * C, p->weight + tap * C, C);
            }
        }
        if (p->activation == ck_gelu) p->kernels->gelu(p->columns * C, out);
        if (p->activation == ck_relu)
            for (int64_t i = 0; i < p->columns * C; i++) out[i] = out[i] < 0 ? 0 : out[i];
    }
}

void ck_depthwise(int64_t batch, int64_t height, int64_t width, int64_t channels, int64_t kernel, int64_t stride,
                  const float *input, const float *weight, const float *bias, ck_activation activation, float *output) {
    depthwise p = {.H = height, .W = width, .C = channels, .kernel = kernel, .stride = stride};
    p.rows = (height - 1) / stride + 1, p.columns = (width - 1) / stride + 1;
    p.input = input, p.weight = weight, p.bias = bias, p.output = output;
    p.activation = activation, p.kernels = ck_current_kernels();
    ck_parallel(batch * p.rows, depthwise_rows, &p);
}

// Pooling and rotation ------------------------------------------------------------------------------------------------

typedef struct {
    int64_t W, C, stride;
    const void *input;
    void *output;
    ck_precision form;
} pooling;

CK_VECTORISED static void take_larger(const float *restrict x, float *restrict largest, int64_t count) {
    for (int64_t i = 0; i < count; i++) largest[i] = x[i] > largest[i] ? x[i] : largest[i];
}

// bf16 numbers have the order of their bits as signed numbers if those of negative ones are inverted.
CK_VECTORISED static void take_larger_bf16(const uint16_t *restrict x, uint16_t *restrict largest, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        int16_t a = (int16_t)x[i], b = (int16_t)largest[i];
        int16_t left = (int16_t)(a ^ ((a >> 15) & 0x7fff)), right = (int16_t)(b ^ ((b >> 15) & 0x7fff));
        int16_t larger = left > right ? left : right;
        largest[i] = (uint16_t)(larger ^ ((larger >> 15) & 0x7fff));
    }
}

static void pool_rows(void *context, int64_t first, int64_t last) {
    const pooling *p = context;
    int64_t C = p->C, width = p->W / 2;
    for (int64_t place = first * width; place < last * width; place++) {
        int64_t y = place / width * 2, x = place % width * 2;
        for (int64_t tap = 0; tap < 4; tap++) {
            int64_t from = ((y + tap / 2) * p->W + x + tap % 2) * p->stride;
            if (p->form == ck_fp32) {
                float *largest = (float *)p->output + place * C;
                const float *row = (const float *)p->input + from;
                if (tap == 0)
                    memcpy(largest, row, (size_t)C * sizeof *largest);
                else
                    take_larger(row, largest, C);
                continue;
            }
            uint16_t *largest = (uint16_t *)p->output + place * C;
            const uint16_t *row = (const uint16_t *)p->input + from;
            if (tap == 0)
                memcpy(largest, row, (size_t)C * sizeof *largest);
            else
                take_larger_bf16(row, largest, C);
        }
    }
}

void ck_max_pool(int64_t height, int64_t width, int64_t channels, const void *input, int64_t input_stride, void *output,
                 ck_precision form) {
    pooling p = {width, channels, input_stride, input, output, form};
    ck_parallel(height / 2, pool_rows, &p);
}

typedef struct {
    int64_t C, period;
    const float *input, *cosines, *sines;
    void *output;
    ck_precision form;
} rotation;

#define PAIRS 128  // pairs that are rotated together, in a buffer, because the output may be the input

CK_VECTORISED static void rotate_pairs(const float *restrict x, const float *restrict cosine,
                                       const float *restrict sine, float *restrict output, int64_t count) {
    for (int64_t j = 0; j < count; j++) {
        output[2 * j] = x[2 * j] * cosine[j] - x[2 * j + 1] * sine[j];
        output[2 * j + 1] = x[2 * j] * sine[j] + x[2 * j + 1] * cosine[j];
    }
}

static void rotate_rows(void *context, int64_t first, int64_t last) {
    const rotation *r = context;
    float turned[2 * PAIRS];
    for (int64_t row = first; row < last; row++)
        for (int64_t pair = 0; pair < r->C / 2; pair += PAIRS) {
            int64_t count = r->C / 2 - pair < PAIRS ? r->C / 2 - pair : PAIRS, at = row * r->C + 2 * pair;
            int64_t angle = row % r->period * (r->C / 2) + pair;
            rotate_pairs(r->input + at, r->cosines + angle, r->sines + angle, turned, count);
            if (r->form == ck_fp32)
                memcpy((float *)r->output + at, turned, (size_t)(2 * count) * sizeof *turned);
            else
                ck_round_range(turned, (uint16_t *)r->output + at, 2 * count);
        }
}

void ck_rotate(int64_t rows, int64_t channels, int64_t period, const float *input, const float *cosines,
               const float *sines, void *output, ck_precision output_form) {
    rotation r = {channels, period, input, cosines, sines, output, output_form};
    ck_parallel(rows, rotate_rows, &r);
}

// Rearrangements ------------------------------------------------------------------------------------------------------

typedef struct {
    int64_t H, W, C, kernel, stride, padding, rows, columns;
    const float *input;
    void *output;
    ck_precision form;
} patches;

// Copies or rounds `count` values, few of them one by one.
static void copy_values(const float *from, void *to, int64_t count, ck_precision form) {
    if (form == ck_fp32)
        memcpy(to, from, (size_t)count * sizeof *from);
    else if (count >= 16)
        ck_round_range(from, to, count);
    else
        for (int64_t i = 0; i < count; i++) ((uint16_t *)to)[i] = ck_rounded(from[i]);
}

// The taps of a row of the kernel lie side by side, in the input and in the patch.
static void patch_rows(void *context, int64_t first, int64_t last) {
    const patches *p = context;
    int64_t C = p->C, kernel = p->kernel;
    size_t width = p->form == ck_bf16 ? sizeof(uint16_t) : sizeof(float), line = (size_t)(kernel * C) * width;
    for (int64_t row = first; row < last; row++) {
        int64_t image = row / p->rows, top = row % p->rows * p->stride - p->padding;
        char *out = (char *)p->output + (size_t)(row * p->columns * kernel) * line;
        for (int64_t i = 0; i < p->columns * kernel; i++, out += line) {
            int64_t y = top + i % kernel, x = i / kernel * p->stride - p->padding;
            int64_t begin = x < 0 ? -x : 0, end = p->W - x < kernel ? p->W - x : kernel;
            if (y < 0 || y >= p->H || begin >= end) {
                memset(out, 0, line);
                continue;
            }
            memset(out, 0, (size_t)(begin * C) * width);
            copy_values(p->input + ((image * p->H + y) * p->W + x + begin) * C, out + (size_t)(begin * C) * width,
                        (end - begin) * C, p->form);
            memset(out + (size_t)(end * C) * width, 0, (size_t)((kernel - end) * C) * width);
        }
    }
}

void ck_patches(int64_t batch, int64_t height, int64_t width, int64_t channels, int64_t kernel, int64_t stride,
                int64_t padding, const float *input, void *output, ck_precision output_form) {
    patches p = {height, width, channels, kernel, stride, padding, (height + 2 * padding - kernel) / stride + 1,
                 (width + 2 * padding - kernel) / stride + 1, input, output, output_form};
    ck_parallel(batch * p.rows, patch_rows, &p);
}

typedef struct {
    int64_t W, factor, C;
    const float *input;
    float *output;
} shuffle;

static void shuffle_rows(void *context, int64_t first, int64_t last) {
    const shuffle *s = context;
    int64_t f = s->factor, C = s->C;
    for (int64_t row = first; row < last; row++)
        for (int64_t x = 0; x < s->W; x++)
            for (int64_t i = 0; i < f * f; i++)
                memcpy(s->output + ((row * f + i / f) * s->W * f + x * f + i % f) * C,
                       s->input + ((row * s->W + x) * f * f + i) * C, (size_t)C * sizeof(float));
}

void ck_pixel_shuffle(int64_t batch, int64_t height, int64_t width, int64_t factor, int64_t channels,
                      const float *input, float *output) {
    shuffle s = {width, factor, channels, input, output};
    ck_parallel(batch * height, shuffle_rows, &s);
}

typedef struct {
    int64_t rows, k, count;
    const float *x, *vectors;
    float *output;
    const ck_kernels *kernels;
} dots;

static void dot_rows(void *context, int64_t first, int64_t last) {
    const dots *d = context;
    for (int64_t row = first; row < last; row++)
        d->kernels->dot(d->k, d->count, d->x + row * d->k, d->vectors, d->output + row, d->rows);
}

void ck_dot_rows(int64_t rows, int64_t k, int64_t count, const float *x, const float *vectors, float *output) {
    dots d = {rows, k, count, x, vectors, output, ck_current_kernels()};
    ck_parallel(rows, dot_rows, &d);
}

// Cross attention -----------------------------------------------------------------------------------------------------

typedef struct {
    const ck_cross_attention *a;
    atomic_int status;
} crossing;

static void cross_queries(void *context, int64_t first, int64_t last) {
    crossing *c = context;
    const ck_cross_attention *a = c->a;
    int64_t D = a->head_size, width = a->heads * D;
    float *scores = ck_scratch(0, (size_t)a->keys * sizeof *scores);
    if (scores == NULL) {
        c->status = ck_out_of_memory;
        return;
    }
    for (int64_t item = first; item < last; item++) {
        int64_t head = item % a->heads, query = item / a->heads % a->queries, image = item / a->heads / a->queries;
        const float *q = a->query + image * a->query_batch_stride + query * a->query_stride + head * D;
        const float *keys = a->key + image * a->key_batch_stride + head * D;
        const float *values = a->value + image * a->value_batch_stride + head * D;
        float *out = a->output + (image * a->queries + query) * width + head * D;
        float largest = -INFINITY, sum = 0;
        for (int64_t key = 0; key < a->keys; key++) {
            float score = 0;
            for (int64_t d = 0; d < D; d++) score += q[d] * keys[key * a->key_stride + d];
            scores[key] = score * a->scale;
            if (scores[key] > largest) largest = scores[key];
        }
        memset(out, 0, (size_t)D * sizeof *out);
        for (int64_t key = 0; key < a->keys; key++) {
            float share = expf(scores[key] - largest);
            sum += share;
            for (int64_t d = 0; d < D; d++) out[d] += share * values[key * a->value_stride + d];
        }
        for (int64_t d = 0; d < D; d++) out[d] /= sum;
    }
}

ck_status ck_cross_attend(const ck_cross_attention *a) {
    if (a->batch < 0 || a->queries < 0 || a->keys < 1 || a->heads < 1 || a->head_size < 1) return ck_bad_argument;
    crossing c = {a, ck_ok};
    ck_parallel(a->batch * a->queries * a->heads, cross_queries, &c);
    return (ck_status)c.status;
}

// The bare loop -------------------------------------------------------------------------------------------------------

typedef struct {
    int64_t rounds;
    ck_precision precision;
    double operations;  // of the first thread; all do the same
} bare_loop;

static void run_bare_loops(void *context, int64_t first, int64_t last) {
    bare_loop *loop = context;
    for (int64_t item = first; item < last; item++) {
        double operations = ck_current_kernels()->bare(loop->rounds, loop->precision);
        if (item == 0) loop->operations = operations;
    }
}

double ck_bare_loop(int64_t rounds, ck_precision precision) {
    bare_loop loop = {rounds, precision, 0};
    int64_t threads = ck_threads() > 0 ? ck_threads() : 1;
    ck_parallel(threads, run_bare_loops, &loop);
    return loop.operations * (double)threads;
}
