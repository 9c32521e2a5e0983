// SPDX-License-Identifier: Apache-2.0
//
// The layers that oneDNN does not offer, or does not offer in fp32 with the operations that are fused here. Letters:
// N images of V voxels and C channels; extents D, H and W.

#include <cblas.h>
#include <dnnl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"
#include "Parallel.h"

// Products ------------------------------------------------------------------------------------------------------------

typedef struct {
    int64_t n, k;
    const float *a, *b, *bias;
    float *c;
} product;

static void product_rows(void *context, int64_t first, int64_t last) {
    const product *p = context;
    int64_t rows = last - first, n = p->n, k = p->k;
    const float *a = p->a + first * k;
    float *c = p->c + first * n;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t column = 0; column < n; column++) c[row * n + column] = p->bias ? p->bias[column] : 0;
    if (n == 1)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)rows, (int)k, 1, a, (int)k, p->b, 1, 1, c, 1);
    else
        // oneDNN generates code for the processor. OpenBLAS 0.3.21 takes processors that it does not know for a Pentium 4.
        dnnl_sgemm('N', 'T', rows, n, k, 1, a, k, p->b, k, 1, c, n);
}

void ck_product(int64_t rows, int64_t n, int64_t k, const float *a, const float *b, const float *bias, float *c) {
    product p = {n, k, a, b, bias, c};
    ck_parallel(rows, product_rows, &p);
}

// Instance norm -------------------------------------------------------------------------------------------------------

#define BLOCK 2048  // voxels per partial sum; fixed blocks fix the order of additions for any number of threads

typedef struct {
    int64_t V, C, blocks;
    float *x;
    double *sums;  // [N * blocks, 2, C]: sum and sum of squares
    const float *summand, *gain, *offset;  // gain and offset [N, C]
    float slope;
} norm;

CK_VECTORISED static void add_block(const float *x, int64_t voxels, int64_t C, double *restrict sum,
                                    double *restrict square) {
    for (int64_t v = 0; v < voxels; v++)
        for (int64_t c = 0; c < C; c++) {
            double value = x[v * C + c];
            sum[c] += value;
            square[c] += value * value;
        }
}

static void norm_sums(void *context, int64_t first, int64_t last) {
    const norm *n = context;
    for (int64_t block = first; block < last; block++) {
        int64_t image = block / n->blocks, begin = block % n->blocks * BLOCK;
        int64_t voxels = n->V - begin < BLOCK ? n->V - begin : BLOCK;
        double *sums = n->sums + block * 2 * n->C;
        add_block(n->x + (image * n->V + begin) * n->C, voxels, n->C, sums, sums + n->C);
    }
}

CK_VECTORISED static void apply_block(float *restrict x, const float *restrict summand, int64_t voxels, int64_t C,
                                      const float *restrict gain, const float *restrict offset, float slope) {
    for (int64_t v = 0; v < voxels; v++) {
        float *row = x + v * C;
        if (summand)
            for (int64_t c = 0; c < C; c++) row[c] = row[c] * gain[c] + offset[c] + summand[v * C + c];
        else
            for (int64_t c = 0; c < C; c++) row[c] = row[c] * gain[c] + offset[c];
        for (int64_t c = 0; c < C; c++) row[c] = row[c] < 0 ? row[c] * slope : row[c];
    }
}

static void norm_apply(void *context, int64_t first, int64_t last) {
    const norm *n = context;
    for (int64_t block = first; block < last; block++) {
        int64_t image = block / n->blocks, begin = block % n->blocks * BLOCK;
        int64_t voxels = n->V - begin < BLOCK ? n->V - begin : BLOCK, at = (image * n->V + begin) * n->C;
        apply_block(n->x + at, n->summand ? n->summand + at : NULL, voxels, n->C, n->gain + image * n->C,
                    n->offset + image * n->C, n->slope);
    }
}

ck_status ck_instance_norm(int64_t N, int64_t V, int64_t C, float *x, const float *scale, const float *shift,
                           float epsilon, float negative_slope, const float *summand) {
    int64_t blocks = (V + BLOCK - 1) / BLOCK;
    double *sums = calloc((size_t)(N * blocks * 2 * C), sizeof *sums);
    float *gain = malloc((size_t)(2 * N * C) * sizeof *gain);
    if (sums == NULL || gain == NULL) {
        free(sums);
        free(gain);
        return ck_out_of_memory;
    }
    float *offset = gain + N * C;
    norm n = {V, C, blocks, x, sums, summand, gain, offset, negative_slope};
    ck_parallel(N * blocks, norm_sums, &n);
    for (int64_t image = 0; image < N; image++)
        for (int64_t c = 0; c < C; c++) {
            double sum = 0, square = 0;
            for (int64_t block = 0; block < blocks; block++) {
                const double *part = sums + (image * blocks + block) * 2 * C;
                sum += part[c];
                square += part[C + c];
            }
            double mean = sum / (double)V, variance = square / (double)V - mean * mean;
            double factor = scale[c] / sqrt((variance > 0 ? variance : 0) + epsilon);
            gain[image * C + c] = (float)factor;
            offset[image * C + c] = (float)(shift[c] - mean * factor);
        }
    ck_parallel(N * blocks, norm_apply, &n);
    free(sums);
    free(gain);
    return ck_ok;
}

// Upsampling ----------------------------------------------------------------------------------------------------------

typedef struct {
    int64_t low, high;
    float weight;  // of high
} tap;

// Computes where every output sample of one axis lies between two input samples.
static void make_taps(int64_t n, int factor, tap *taps) {
    for (int64_t i = 0; i < n * factor; i++) {
        float at = ((float)i + 0.5f) / (float)factor - 0.5f;
        if (at < 0) at = 0;
        int64_t low = (int64_t)at;
        if (low > n - 1) low = n - 1;
        taps[i] = (tap){low, low + 1 < n ? low + 1 : low, at - (float)low};
    }
}

typedef struct {
    int64_t D, H, W, C;  // of the input
    int64_t rows_per_slice, depth_out;
    int factor, adds;
    const tap *z, *y, *x;
    const float *input;
    float *output;
} enlargement;

// Computes one output row from the four weighted input rows around it.
CK_VECTORISED static void enlarge_row(const float *const rows[4], const float weights[4], float *restrict mixed,
                                      int64_t W, int64_t C, const tap *x, int64_t width_out, float *restrict output,
                                      int adds) {
    for (int64_t k = 0; k < W * C; k++)
        mixed[k] = weights[0] * rows[0][k] + weights[1] * rows[1][k] + weights[2] * rows[2][k] +
                   weights[3] * rows[3][k];
    for (int64_t i = 0; i < width_out; i++) {
        const float *low = mixed + x[i].low * C, *high = mixed + x[i].high * C;
        float w = x[i].weight, *out = output + i * C;
        if (adds)
            for (int64_t c = 0; c < C; c++) out[c] += (1 - w) * low[c] + w * high[c];
        else
            for (int64_t c = 0; c < C; c++) out[c] = (1 - w) * low[c] + w * high[c];
    }
}

static void enlarge_rows(void *context, int64_t first, int64_t last) {
    const enlargement *e = context;
    int64_t row = e->W * e->C, width_out = e->W * e->factor;
    float *mixed = malloc((size_t)row * sizeof *mixed);
    if (mixed == NULL) abort();
    for (int64_t r = first; r < last; r++) {
        int64_t plane = r / e->rows_per_slice, j = r % e->rows_per_slice;
        int64_t image = plane / e->depth_out, k = plane % e->depth_out;
        tap z = e->z[k], y = e->y[j];
        const float *start = e->input + image * e->D * e->H * row;
        const float *rows[4] = {start + (z.low * e->H + y.low) * row, start + (z.low * e->H + y.high) * row,
                                start + (z.high * e->H + y.low) * row, start + (z.high * e->H + y.high) * row};
        float weights[4] = {(1 - z.weight) * (1 - y.weight), (1 - z.weight) * y.weight, z.weight * (1 - y.weight),
                            z.weight * y.weight};
        enlarge_row(rows, weights, mixed, e->W, e->C, e->x, width_out, e->output + r * width_out * e->C, e->adds);
    }
    free(mixed);
}

ck_status ck_upsample(int64_t batch, int64_t D, int64_t H, int64_t W, int64_t C, int depth_factor, int factor,
                      const float *input, float *output, int adds) {
    tap *taps = malloc((size_t)(D * depth_factor + (H + W) * factor) * sizeof *taps);
    if (taps == NULL) return ck_out_of_memory;
    tap *y = taps + D * depth_factor, *x = y + H * factor;
    make_taps(D, depth_factor, taps);
    make_taps(H, factor, y);
    make_taps(W, factor, x);
    enlargement e = {D, H, W, C, H * factor, D * depth_factor, factor, adds, taps, y, x, input, output};
    ck_parallel(batch * D * depth_factor * H * factor, enlarge_rows, &e);
    free(taps);
    return ck_ok;
}

// Pointwise -----------------------------------------------------------------------------------------------------------

static void sigmoid_range(void *context, int64_t first, int64_t last) {
    float *x = context;
    for (int64_t k = first; k < last; k++) x[k] = 1 / (1 + expf(-x[k]));
}

void ck_sigmoid(int64_t count, float *x) { ck_parallel(count, sigmoid_range, x); }

typedef struct {
    const float *input;
    uint16_t *output;
} rounding;

CK_VECTORISED void ck_round_range(const float *restrict input, uint16_t *restrict output, int64_t count) {
    const uint32_t *bits = (const uint32_t *)(const void *)input;
    for (int64_t k = 0; k < count; k++) {
        uint32_t b = bits[k], rounded = (b + 0x7fff + ((b >> 16) & 1)) >> 16;
        output[k] = (uint16_t)((b & 0x7fffffff) > 0x7f800000 ? (b >> 16) | 0x40 : rounded);
    }
}

static void round_share(void *context, int64_t first, int64_t last) {
    const rounding *r = context;
    ck_round_range(r->input + first, r->output + first, last - first);
}

void ck_to_bf16(int64_t count, const float *input, uint16_t *output) {
    rounding r = {input, output};
    ck_parallel_numbers(count, count, round_share, &r);
}
