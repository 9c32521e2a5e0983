// SPDX-License-Identifier: Apache-2.0
//
// Functions on single rows, on vectors: GELU, layer norm, and a few dot products of a row.

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

static void gelu_values(int64_t count, float *x) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) store(x + i, gelu_of(load(x + i)));
    if (i == count) return;
    float values[LANES];
    store(values, gelu_of(load_some(x + i, count - i)));
    memcpy(x + i, values, (size_t)(count - i) * sizeof *values);
}

// Layer norm of a row of four values, as the first layer of a mask's downscaling has them for every second pixel. Sums
// have the order of `sum_of`.
static void norm_four(const float *x, const float *weight, const float *bias, float epsilon, void *output,
                      ck_precision form) {
    float mean = ((x[0] + x[2]) + (x[1] + x[3])) / 4, d[4], squares[4];
    for (int c = 0; c < 4; c++) d[c] = x[c] - mean;
    for (int c = 0; c < 4; c++) squares[c] = d[c] * d[c];
    float factor = 1 / sqrtf(((squares[0] + squares[2]) + (squares[1] + squares[3])) / 4 + epsilon);
    for (int c = 0; c < 4; c++) {
        float y = __builtin_fmaf(d[c] * factor, weight[c], bias[c]);
        if (form == ck_fp32)
            ((float *)output)[c] = y;
        else
            ((uint16_t *)output)[c] = ck_rounded(y);
    }
}

// Layer norm of a row of C values. It takes the mean first and then the deviations, which avoids cancellation.
static void norm_values(int64_t C, const float *x, const float *weight, const float *bias, float epsilon, void *output,
                        ck_precision form) {
    if (C == 4) {
        norm_four(x, weight, bias, epsilon, output, form);
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
        vector y = fma_of((load(x + c) - mean) * factor, load(weight + c), load(bias + c));
        if (form == ck_fp32)
            store((float *)output + c, y);
        else
            store_bf16((uint16_t *)output + c, y);
    }
    for (int64_t c = whole; c < C; c++) {
        float y = __builtin_fmaf((x[c] - mean[0]) * factor[0], weight[c], bias[c]);
        if (form == ck_fp32)
            ((float *)output)[c] = y;
        else
            ((uint16_t *)output)[c] = ck_rounded(y);
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
