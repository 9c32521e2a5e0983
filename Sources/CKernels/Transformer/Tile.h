// SPDX-License-Identifier: Apache-2.0
//
// The innermost loop of products. A tile of `rows` rows and two vectors of columns stays in registers while k runs. A
// word is a float, or two neighbouring bf16 along k.
//
//   tile[i][:] = start + sum over k of a[i * row_step + k * k_step] * b[k][:]

#define COLUMNS (2 * LANES)

INLINE void run_tile(const int rows, const float *a, int64_t row_step, int64_t k_step, const float *b, int64_t count,
                     vector tile[][2], int pairs) {
    for (int64_t k = 0; k < count; k++) {
        vector low = load(b), high = load(b + LANES);
#pragma clang loop unroll(full)
        for (int i = 0; i < rows; i++) {
            vector word = every(a[i * row_step]);
            tile[i][0] = multiply_add(word, low, tile[i][0], pairs);
            tile[i][1] = multiply_add(word, high, tile[i][1], pairs);
        }
        a += k_step;
        b += COLUMNS;
    }
}

// The same loop without memory access: the upper bound for products. It returns the number of operations; a product
// and its sum count as two.
static double run_bare(int64_t rounds, ck_precision precision) {
    volatile float small = 0x1p-20f;
    vector tile[ROWS][2], word = every(small), low = every(small), high = every(-small);
    int pairs = 0;
#ifdef DOT_PAIRS
    pairs = precision == ck_bf16;
#endif
    (void)precision;
    for (int i = 0; i < ROWS; i++) tile[i][0] = every((float)i), tile[i][1] = every((float)-i);
    if (pairs)
        for (int64_t k = 0; k < rounds; k++)
#pragma clang loop unroll(full)
            for (int i = 0; i < ROWS; i++) {
                tile[i][0] = multiply_add(word, low, tile[i][0], 1);
                tile[i][1] = multiply_add(word, high, tile[i][1], 1);
            }
    else
        for (int64_t k = 0; k < rounds; k++)
#pragma clang loop unroll(full)
            for (int i = 0; i < ROWS; i++) {
                tile[i][0] = multiply_add(word, low, tile[i][0], 0);
                tile[i][1] = multiply_add(word, high, tile[i][1], 0);
            }
    vector sum = every(0);
    for (int i = 0; i < ROWS; i++) sum += tile[i][0] + tile[i][1];
    small = sum[0];
    return (double)rounds * ROWS * COLUMNS * (pairs ? 4 : 2);
}
