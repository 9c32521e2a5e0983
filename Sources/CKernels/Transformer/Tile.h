// SPDX-License-Identifier: Apache-2.0
//
// The innermost loop: a tile of `rows` rows and two vectors of columns stays in registers while k runs. A word is a
// float, or two neighbouring bf16 along k.
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
