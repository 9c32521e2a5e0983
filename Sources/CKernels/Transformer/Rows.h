// SPDX-License-Identifier: Apache-2.0
//
// Functions on single rows, on vectors: sigmoid, layer norm, convolutions without a product, and a few dot products.

// The sum of all lanes. It adds halves first, in the same order for every row.
INLINE float sum_of(vector x) {
#if LANES == 16
    x += __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
#else
    x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
    x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5);
#endif
    return x[0] + x[1];
}

// A vector of the first `count` floats, padded with zeros.
INLINE vector load_some(const float *from, int64_t count) {
    float values[LANES] = {0};
    memcpy(values, from, (size_t)count * sizeof *values);
    return load(values);
}

// Computes x = scale / (1 + exp(-x)) + shift.
static void sigmoid_values(int64_t count, float *x, float scale, float shift) {
    for (int64_t i = 0; i < count; i += LANES) {
        int64_t some = count - i < LANES ? count - i : LANES;
        vector v = some == LANES ? load(x + i) : load_some(x + i, some);
        vector power = exp2_of((vector)((integers)v | INT32_MIN) * every(1.44269504f));
        vector y = fma_of(every(scale), (v < every(0) ? power : every(1)) / (every(1) + power), every(shift));
        if (some == LANES) {
            store(x + i, y);
        } else {
            float values[LANES];
            store(values, y);
            memcpy(x + i, values, (size_t)some * sizeof *values);
        }
    }
}

// Layer norm of a row of four values, as the first layer of a mask's downscaling has them for every second pixel. Sums
// have the order of `sum_of`.
static void norm_four(const float *x, const float *weight, const float *bias, float epsilon, ck_activation activation,
                      void *output, ck_precision form) {
    float mean = ((x[0] + x[2]) + (x[1] + x[3])) / 4, d[4], squares[4], values[LANES] = {0};
    for (int c = 0; c < 4; c++) d[c] = x[c] - mean;
    for (int c = 0; c < 4; c++) squares[c] = d[c] * d[c];
    float factor = 1 / sqrtf(((squares[0] + squares[2]) + (squares[1] + squares[3])) / 4 + epsilon);
    for (int c = 0; c < 4; c++) values[c] = __builtin_fmaf(d[c] * factor, weight[c], bias[c]);
    if (activation != ck_identity) store(values, activated(load(values), activation));
    for (int c = 0; c < 4; c++) {
        if (form == ck_fp32)
            ((float *)output)[c] = values[c];
        else
            ((uint16_t *)output)[c] = ck_rounded(values[c]);
    }
}

// Layer norm of a row of C values, with an activation behind it. It takes the mean first and then the deviations, which
// avoids cancellation.
static void norm_values(int64_t C, const float *x, const float *weight, const float *bias, float epsilon,
                        ck_activation activation, void *output, ck_precision form) {
    if (C == 4) {
        norm_four(x, weight, bias, epsilon, activation, output, form);
        return;
    }
    int64_t whole = C / LANES * LANES, rest = C - whole;
    vector sums = every(0), squares = every(0);
    for (int64_t c = 0; c < whole; c += LANES) sums += load(x + c);
    if (rest) sums += load_some(x + whole, rest);
    vector mean = every(sum_of(sums) / (float)C);
    for (int64_t c = 0; c < whole; c += LANES) {
        vector d = load(x + c) - mean;
        squares = fma_of(d, d, squares);
    }
    for (int64_t c = whole; c < C; c++) squares[c - whole] += (x[c] - mean[0]) * (x[c] - mean[0]);
    vector factor = every(1 / sqrtf(sum_of(squares) / (float)C + epsilon));
    for (int64_t c = 0; c < whole; c += LANES) {
        vector y = activated(fma_of((load(x + c) - mean) * factor, load(weight + c), load(bias + c)), activation);
        if (form == ck_fp32)
            store((float *)output + c, y);
        else
            store_bf16((uint16_t *)output + c, y);
    }
    float values[LANES] = {0};
    for (int64_t c = whole; c < C; c++)
        values[c - whole] = __builtin_fmaf((x[c] - mean[0]) * factor[0], weight[c], bias[c]);
    if (rest && activation != ck_identity) store(values, activated(load(values), activation));
    for (int64_t c = whole; c < C; c++) {
        if (form == ck_fp32)
            ((float *)output)[c] = values[c - whole];
        else
            ((uint16_t *)output)[c] = ck_rounded(values[c - whole]);
    }
}

#define ACROSS 8  // outputs of a depthwise convolution that are computed together

// Computes ACROSS outputs of a row, from `column` on, for the channels [c, c + some). `top` is the input row of the
// first tap. If `inside` is set, all inputs are in the image and the channels fill a vector.
INLINE void convolve_depthwise(const ck_depthwise_layer *p, int64_t image, int64_t top, int64_t column, int64_t c,
                               int64_t some, const int inside, vector sums[ACROSS]) {
    int64_t C = p->channels, step = p->stride * C;
    vector start = p->bias ? (inside ? load(p->bias + c) : load_some(p->bias + c, some)) : every(0);
#pragma clang loop unroll(full)
    for (int i = 0; i < ACROSS; i++) sums[i] = start;
    for (int64_t ky = 0; ky < p->kernel; ky++) {
        int64_t y = top + ky;
        if (y < 0 || y >= p->height) continue;
        for (int64_t kx = 0; kx < p->kernel; kx++) {
            int64_t x = column * p->stride - p->kernel / 2 + kx;
            const float *from = p->input + ((image * p->height + y) * p->width + x) * C + c;
            const float *weight = p->weight + (ky * p->kernel + kx) * C + c;
            vector w = inside || some == LANES ? load(weight) : load_some(weight, some);
#pragma clang loop unroll(full)
            for (int i = 0; i < ACROSS; i++, x += p->stride) {
                if (!inside && (x < 0 || x >= p->width)) continue;
                vector value = inside || some == LANES ? load(from + i * step) : load_some(from + i * step, some);
                sums[i] = fma_of(value, w, sums[i]);
            }
        }
    }
}

static void depthwise_row(const ck_depthwise_layer *p, int64_t image, int64_t row) {
    int64_t C = p->channels, top = row * p->stride - p->kernel / 2, reach = p->kernel / 2;
    float *output = p->output + (image * p->rows + row) * p->columns * C;
    for (int64_t c = 0; c < C; c += LANES)
        for (int64_t column = 0; column < p->columns; column += ACROSS) {
            vector sums[ACROSS];
            int64_t some = C - c < LANES ? C - c : LANES, first = column * p->stride - reach;
            int64_t last = (column + ACROSS - 1) * p->stride + reach;
            if (some == LANES && first >= 0 && last < p->width)
                convolve_depthwise(p, image, top, column, c, some, 1, sums);
            else
                convolve_depthwise(p, image, top, column, c, some, 0, sums);
            for (int64_t i = 0; i < ACROSS && column + i < p->columns; i++) {
                vector y = activated(sums[i], p->activation);
                float *to = output + (column + i) * C + c, values[LANES];
                if (some == LANES) {
                    store(to, y);
                } else {
                    store(values, y);
                    memcpy(to, values, (size_t)some * sizeof *values);
                }
            }
        }
}

// The numbers at even places of two vectors.
INLINE vector evens_of(vector a, vector b) {
#if LANES == 16
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
#else
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
#endif
}

// Writes `count` places of C channels, whose numbers lie by channel, [C][LANES].
INLINE void scatter_places(const float *values, int64_t count, const int64_t C, void *output, ck_precision form) {
    if (form == ck_fp32) {
        float *to = output;
        for (int64_t i = 0; i < count; i++)
            for (int64_t c = 0; c < C; c++) to[i * C + c] = values[c * LANES + i];
        return;
    }
    uint16_t rounded[ck_mask_channels * LANES], *to = output;
    for (int64_t c = 0; c < C; c++) store_bf16(rounded + c * LANES, load(values + c * LANES));
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < C; c++) to[i * C + c] = rounded[c * LANES + i];
}

// Computes LANES outputs of a row, from `column` on, by channel, [C][LANES].
INLINE void downsample_places(const ck_mask_layer *p, int64_t row, int64_t column, float *values) {
    vector taps[9], sum = every(0), squares = every(0);
#pragma clang loop unroll(full)
    for (int ky = 0; ky < 3; ky++) {
        // The inputs from the left one of the first output on, with zeros outside the mask.
        float line[3 * LANES] = {0};
        int64_t y = 2 * row + ky - 1, left = column == 0, first = 2 * column - 1 + left;
        int64_t end = 2 * (column + LANES) < p->width ? 2 * (column + LANES) : p->width;
        if (y >= 0) memcpy(line + left, p->mask + y * p->width + first, (size_t)(end - first) * sizeof *line);
        taps[3 * ky] = evens_of(load(line), load(line + LANES));
        taps[3 * ky + 1] = evens_of(load(line + 1), load(line + LANES + 1));
        taps[3 * ky + 2] = evens_of(load(line + 2), load(line + LANES + 2));
    }
    int64_t C = p->channels;
    for (int64_t c = 0; c < C; c++) {
        vector y = every(p->bias[c]);
#pragma clang loop unroll(full)
        for (int tap = 0; tap < 9; tap++) y = fma_of(taps[tap], every(p->weight[c * 9 + tap]), y);
        store(values + c * LANES, y);
        sum += y;
    }
    vector mean = sum / every((float)C);
    for (int64_t c = 0; c < C; c++) {
        vector d = load(values + c * LANES) - mean;
        squares = fma_of(d, d, squares);
    }
    vector factor = every(1) / __builtin_elementwise_sqrt(squares / every((float)C) + every(p->epsilon));
    for (int64_t c = 0; c < C; c++) {
        vector d = (load(values + c * LANES) - mean) * factor;
        store(values + c * LANES, gelu_of(fma_of(d, every(p->norm_weight[c]), every(p->norm_bias[c]))));
    }
}

static void downsample_row(const ck_mask_layer *p, int64_t row) {
    int64_t C = p->channels, columns = p->width / 2;
    float values[ck_mask_channels * LANES];
    for (int64_t column = 0; column < columns; column += LANES) {
        int64_t count = columns - column < LANES ? columns - column : LANES, at = (row * columns + column) * C;
        void *to = p->form == ck_fp32 ? (void *)((float *)p->output + at) : (void *)((uint16_t *)p->output + at);
        downsample_places(p, row, column, values);
        if (C == 4)
            scatter_places(values, count, 4, to, p->form);
        else
            scatter_places(values, count, C, to, p->form);
    }
}

// Computes output[v * step] = x . vectors[v, :].
static void dot_values(int64_t k, int64_t count, const float *x, const float *vectors, float *output, int64_t step) {
    int64_t whole = k / LANES * LANES;
    for (int64_t v = 0; v < count; v++) {
        const float *other = vectors + v * k;
        vector sums = every(0);
        for (int64_t i = 0; i < whole; i += LANES) sums = fma_of(load(x + i), load(other + i), sums);
        if (whole < k) sums = fma_of(load_some(x + whole, k - whole), load_some(other + whole, k - whole), sums);
        output[v * step] = sum_of(sums);
    }
}

// The functions of the kernel table that are defined here.
#define ROW_KERNELS \
    .sigmoid = sigmoid_values, .norm = norm_values, .depthwise = depthwise_row, .downsample = downsample_row, \
    .dot = dot_values
