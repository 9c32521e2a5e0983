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
    ck_activation activation;
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
        n->kernels->norm(n->C, x, n->weight, n->bias, n->epsilon, n->activation, out, n->form);
    }
}

void ck_layer_norm(int64_t rows, int64_t channels, const float *input, int64_t input_stride, const float *weight,
                   const float *bias, float epsilon, ck_activation activation, void *output, ck_precision output_form,
                   int64_t output_stride) {
    layer_norm n = {channels,   input_stride, output_stride, input, weight, bias, epsilon,
                    activation, output,       output_form,   ck_current_kernels()};
    ck_parallel_numbers(rows, rows * channels, norm_rows, &n);
}

// Pointwise -----------------------------------------------------------------------------------------------------------

#define CHUNK 4096  // elements per item that a thread takes

typedef struct {
    const ck_kernels *kernels;
    int64_t count;
    float *x, scale, shift;
} sigmoid;

static void sigmoid_chunks(void *context, int64_t first, int64_t last) {
    const sigmoid *s = context;
    int64_t end = last * CHUNK < s->count ? last * CHUNK : s->count;
    s->kernels->sigmoid(end - first * CHUNK, s->x + first * CHUNK, s->scale, s->shift);
}

void ck_scaled_sigmoid(int64_t count, float *x, float scale, float shift) {
    sigmoid s = {ck_current_kernels(), count, x, scale, shift};
    ck_parallel_numbers((count + CHUNK - 1) / CHUNK, count, sigmoid_chunks, &s);
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
    ck_parallel_numbers(batch * ((count + CHUNK - 1) / CHUNK), batch * count, add_chunks, &s);
}

// Convolutions without a product --------------------------------------------------------------------------------------

typedef struct {
    ck_depthwise_layer layer;
    const ck_kernels *kernels;
} depthwise;

static void depthwise_rows(void *context, int64_t first, int64_t last) {
    const depthwise *p = context;
    for (int64_t row = first; row < last; row++)
        p->kernels->depthwise(&p->layer, row / p->layer.rows, row % p->layer.rows);
}

void ck_depthwise(int64_t batch, int64_t height, int64_t width, int64_t channels, int64_t kernel, int64_t stride,
                  const float *input, const float *weight, const float *bias, ck_activation activation, float *output) {
    depthwise p = {{height, width, channels, kernel, stride, (height - 1) / stride + 1, (width - 1) / stride + 1, input,
                    weight, bias, activation, output},
                   ck_current_kernels()};
    ck_parallel(batch * p.layer.rows, depthwise_rows, &p);
}

typedef struct {
    ck_mask_layer layer;
    const ck_kernels *kernels;
} downsampling;

static void downsample_rows(void *context, int64_t first, int64_t last) {
    const downsampling *p = context;
    for (int64_t row = first; row < last; row++) p->kernels->downsample(&p->layer, row);
}

ck_status ck_downsample_mask(int64_t height, int64_t width, int64_t channels, const float *mask, const float *weight,
                             const float *bias, const float *norm_weight, const float *norm_bias, float epsilon,
                             void *output, ck_precision output_form) {
    if (height < 2 || width < 2 || height % 2 || width % 2 || channels < 1 || channels > ck_mask_channels)
        return ck_bad_argument;
    downsampling p = {
        {height, width, channels, mask, weight, bias, norm_weight, norm_bias, epsilon, output, output_form},
        ck_current_kernels()};
    ck_parallel(height / 2, downsample_rows, &p);
    return ck_ok;
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
    const void *input;
    ck_precision input_form;
    void *output;
    ck_precision form;
} patches;

// Copies or rounds `count` values of the input from number `at` on, few of them one by one.
static void copy_values(const patches *p, int64_t at, void *to, int64_t count) {
    if (p->input_form == ck_bf16) {
        memcpy(to, (const uint16_t *)p->input + at, (size_t)count * sizeof(uint16_t));
        return;
    }
    const float *from = (const float *)p->input + at;
    if (p->form == ck_fp32)
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
            if (begin > 0) memset(out, 0, (size_t)(begin * C) * width);
            copy_values(p, ((image * p->H + y) * p->W + x + begin) * C, out + (size_t)(begin * C) * width,
                        (end - begin) * C);
            if (end < kernel) memset(out + (size_t)(end * C) * width, 0, (size_t)((kernel - end) * C) * width);
        }
    }
}

ck_status ck_patches(int64_t batch, int64_t height, int64_t width, int64_t channels, int64_t kernel, int64_t stride,
                     int64_t padding, const void *input, ck_precision input_form, void *output,
                     ck_precision output_form) {
    if (input_form == ck_bf16 && output_form == ck_fp32) return ck_bad_argument;
    patches p = {height, width, channels, kernel, stride, padding, (height + 2 * padding - kernel) / stride + 1,
                 (width + 2 * padding - kernel) / stride + 1, input, input_form, output, output_form};
    ck_parallel(batch * p.rows, patch_rows, &p);
    return ck_ok;
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
    ck_parallel_numbers(rows, rows * k * count, dot_rows, &d);
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
    int64_t items = a->batch * a->queries * a->heads;
    ck_parallel_numbers(items, items * a->keys * a->head_size, cross_queries, &c);
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
