// SPDX-License-Identifier: Apache-2.0
//
// Products of bf16 on tiles of 16 rows x 64 bytes, as AMX has them. The including file defines these macros, for
// constant tile numbers 0...7 and with strides in bytes:
//
//   TILE_ZERO(t)                   t = 0
//   TILE_LOAD(t, from, stride)     loads 16 rows of 64 bytes
//   TILE_STORE(t, to, stride)      stores 16 rows of 64 bytes
//   TILE_DOT(c, a, b)              c[i][j] += sum over 32 k of a[i][k] b[k][j]; a row of b holds a pair of k for 16 j
//   TILES_BEGIN(), TILES_END()     called around the use of tiles on a thread
//
// Tiles 0...3 hold the sums. Tiles 4 and 5 hold rows of the left factor, tiles 6 and 7 columns of the right factor.

#define TILES
#define TILE_WORDS 256  // floats or pairs of bf16 in a tile

#define FOUR_DOTS() (TILE_DOT(0, 4, 6), TILE_DOT(1, 4, 7), TILE_DOT(2, 5, 6), TILE_DOT(3, 5, 7))

// Attention -----------------------------------------------------------------------------------------------------------
//
// Strides count floats. `columns` are pairs [pair][32]: two tiles side by side.

// Computes output[i][:] = start[i][:] + a[i, :] columns for i < rows, where rows is rounded up to a multiple of 16. A
// row of a has a_step words.
static void tile_rows(int64_t rows, const float *a, int64_t a_step, const float *columns, int64_t words,
                      const float *start, int64_t start_step, float *output) {
    const size_t line = 32 * sizeof(float);
    for (; rows > 16; rows -= 32, a += 32 * a_step, start += 32 * start_step, output += 32 * 32) {
        TILE_LOAD(0, start, (size_t)start_step * 4);
        TILE_LOAD(1, start + 16, (size_t)start_step * 4);
        TILE_LOAD(2, start + 16 * start_step, (size_t)start_step * 4);
        TILE_LOAD(3, start + 16 * start_step + 16, (size_t)start_step * 4);
        for (int64_t k = 0; k < words; k += 16) {
            TILE_LOAD(4, a + k, (size_t)a_step * 4);
            TILE_LOAD(6, columns + k * 32, line);
            TILE_LOAD(7, columns + k * 32 + 16, line);
            TILE_LOAD(5, a + 16 * a_step + k, (size_t)a_step * 4);
            FOUR_DOTS();
        }
        TILE_STORE(0, output, line);
        TILE_STORE(1, output + 16, line);
        TILE_STORE(2, output + 16 * 32, line);
        TILE_STORE(3, output + 16 * 32 + 16, line);
    }
    if (rows <= 0) return;
    TILE_LOAD(0, start, (size_t)start_step * 4);
    TILE_LOAD(1, start + 16, (size_t)start_step * 4);
    for (int64_t k = 0; k < words; k += 16) {
        TILE_LOAD(4, a + k, (size_t)a_step * 4);
        TILE_LOAD(6, columns + k * 32, line);
        TILE_LOAD(7, columns + k * 32 + 16, line);
        TILE_DOT(0, 4, 6);
        TILE_DOT(1, 4, 7);
    }
    TILE_STORE(0, output, line);
    TILE_STORE(1, output + 16, line);
}

static void score_tiles(int64_t rows, const float *keys, int64_t words, const float *queries, const float *start,
                        int64_t start_step, float *scores) {
    tile_rows(rows, keys, words, queries, words, start, start_step, scores);
}

static const float no_sums[32] __attribute__((aligned(64)));

// `values` are [depth, value_step] words with places in pairs; `shares` are [pair][32].
static void add_values_tiles(int64_t depth, const float *values, int64_t value_step, const float *shares, int64_t count,
                             const vector *factor, float *sums) {
    int64_t words = rounded_up(count, 32) / 2;
    if (factor == NULL) return tile_rows(depth, values, value_step, shares, words, no_sums, 0, sums);
    // The largest score of a query seldom grows once it has met many keys.
    int stay = 1;
    for (int i = 0; i < LANES; i++) stay &= (factor[0][i] == 1) & (factor[1][i] == 1);
    for (int64_t d = 0; d < depth && !stay; d++) {
        float *sum = sums + d * 32;
        store(sum, load(sum) * factor[0]), store(sum + 16, load(sum + 16) * factor[1]);
    }
    tile_rows(depth, values, value_step, shares, words, sums, 32, sums);
}

// Products ------------------------------------------------------------------------------------------------------------
//
// The weight lies in panels of 32 outputs, [panel][step][2][16 pairs][16 outputs]. A block of the input lies in
// strips of 32 rows, [strip][step][2][16 rows][32 k]. Both are whole tiles, one after the other. A step is 32 of k.

#define TILE_DEEP 16  // the largest block of k, in steps; a panel of it stays in the first-level cache
#define TILE_BLOCK_ROWS 128  // rows of the input that a thread packs together

static size_t packed_size_tiles(const ck_matrix *matrix) {
    return (size_t)(rounded_up(matrix->n, 32) * rounded_up(matrix->k, 32)) * sizeof(uint16_t);
}

static void pack_tiles(const ck_matrix *matrix, const float *weight) {
    int64_t N = matrix->n, K = matrix->k, steps = rounded_up(K, 32) / 32;
    uint16_t *packed = matrix->packed;
    for (int64_t n = 0; n < rounded_up(N, 32); n++)
        for (int64_t k = 0; k < steps * 32; k++) {
            int64_t tile = (n / 32 * steps + k / 32) * 2 + n / 16 % 2;
            packed[(tile * TILE_WORDS + k / 2 % 16 * 16 + n % 16) * 2 + k % 2] =
                n < N && k < K ? ck_rounded(weight[n * K + k]) : 0;
        }
}

static void pack_rows_tiles(const ck_matrix *matrix, const ck_multiplication *m, int64_t first, int64_t rows,
                            int64_t steps, uint16_t *packed) {
    for (int64_t i = 0; i < rounded_up(rows, 32); i++) {
        const uint16_t *from = (const uint16_t *)m->input + (first + i) * m->input_stride;
        uint16_t *to = packed + i / 32 * steps * 4 * TILE_WORDS + i % 32 * 32;
        for (int64_t step = 0; step < steps; step++, from += 32, to += 4 * TILE_WORDS) {
            int64_t left = i < rows ? matrix->k - step * 32 : 0;
            if (left >= 32) {
                memcpy(to, from, 64);
            } else {
                memset(to, 0, 64);
                if (left > 0) memcpy(to, from, (size_t)left * sizeof *to);
            }
        }
    }
}

// The sums of a strip and a panel, [32][32], whose outputs have not all been written.
typedef struct {
    const float *sums;
    int64_t row, rows, column;  // of the output
    int64_t next;  // the next row to write; `rows` if all are written
} unfinished;

// Writes up to `count` rows of outputs.
INLINE void finish_tiles(const ck_matrix *matrix, const ck_multiplication *m, unfinished *u, int64_t count) {
    int64_t columns = matrix->n - u->column, last = u->next + count < u->rows ? u->next + count : u->rows;
    for (; u->next < last; u->next++) {
        const float *sums = u->sums + u->next * 32, *bias = matrix->bias + u->column;
        vector low = load(sums) + load(bias), high = load(sums + 16) + load(bias + 16);
        row_place place = place_of(m, u->row + u->next, u->column);
        if (columns >= 32)
            finish_panel(m, low, high, place);
        else
            finish_columns(m, low, high, place, columns);
    }
}

// Computes sums [32][32] (+)= a b over `steps` steps. While the tiles multiply, the vectors finish earlier sums.
static void multiply_tiles(const float *a, const float *b, int64_t steps, int starts, float *sums,
                           const ck_matrix *matrix, const ck_multiplication *m, unfinished *u) {
    const size_t line = 32 * sizeof(float);
    int64_t each = (u->rows - u->next + steps - 1) / steps;
    if (starts) {
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
    } else {
        TILE_LOAD(0, sums, line);
        TILE_LOAD(1, sums + 16, line);
        TILE_LOAD(2, sums + 16 * 32, line);
        TILE_LOAD(3, sums + 16 * 32 + 16, line);
    }
    for (int64_t step = 0; step < steps; step++, a += 2 * TILE_WORDS, b += 2 * TILE_WORDS) {
        TILE_LOAD(4, a, 64);
        TILE_LOAD(6, b, 64);
        TILE_LOAD(7, b + TILE_WORDS, 64);
        TILE_LOAD(5, a + TILE_WORDS, 64);
        FOUR_DOTS();
        finish_tiles(matrix, m, u, each);
    }
    TILE_STORE(0, sums, line);
    TILE_STORE(1, sums + 16, line);
    TILE_STORE(2, sums + 16 * 32, line);
    TILE_STORE(3, sums + 16 * 32 + 16, line);
}

static void multiply_block_tiles(product *p, int64_t first, int64_t rows, int64_t panel, int64_t last_panel) {
    const ck_matrix *matrix = p->matrix;
    int64_t steps = rounded_up(matrix->k, 32) / 32, strips = (rows + 31) / 32;
    int64_t blocks = (steps + TILE_DEEP - 1) / TILE_DEEP, deep = (steps + blocks - 1) / blocks;
    float *input = ck_scratch(0, (size_t)(strips * steps * 2 * TILE_WORDS) * sizeof(float));
    // If k is one block, sums are finished while the next ones are computed, and two buffers are enough.
    int64_t buffers = blocks == 1 ? 2 : strips * WIDE, turn = 0;
    float *partial = ck_scratch(1, (size_t)(buffers * 4 * TILE_WORDS) * sizeof(float));
    if (input == NULL || partial == NULL) {
        p->status = ck_out_of_memory;
        return;
    }
    pack_rows_tiles(matrix, p->m, first, rows, steps, (uint16_t *)input);
    unfinished u = {NULL, 0, 0, 0, 0};
    for (; panel < last_panel; panel += WIDE) {
        for (int64_t k = 0; k < steps; k += deep)
            for (int64_t j = panel; j < panel + WIDE && j < last_panel; j++) {
                int64_t count = steps - k < deep ? steps - k : deep;
                const float *b = (const float *)matrix->packed + (j * steps + k) * 2 * TILE_WORDS;
                for (int64_t i = 0; i < strips; i++) {
                    float *sums = partial + (blocks == 1 ? turn++ % 2 : (j - panel) * strips + i) * 4 * TILE_WORDS;
                    multiply_tiles(input + (i * steps + k) * 2 * TILE_WORDS, b, count, k == 0, sums, matrix, p->m, &u);
                    if (k + count < steps) continue;
                    int64_t left = rows - i * 32;
                    u = (unfinished){sums, first + i * 32, left < 32 ? left : 32, j * 32, 0};
                }
            }
        finish_tiles(matrix, p->m, &u, u.rows);  // the next panels overwrite the sums
    }
}

static void multiply_item_tiles(void *context, int64_t item) {
    product *p = context;
    int64_t strips = (p->m->rows + 31) / 32, panels = (p->matrix->n + 31) / 32;
    int64_t row = item % p->row_blocks, column = item / p->row_blocks;
    int64_t first = strips * row / p->row_blocks * 32, last = strips * (row + 1) / p->row_blocks * 32;
    if (last > p->m->rows) last = p->m->rows;
    TILES_BEGIN();
    multiply_block_tiles(p, first, last - first, panels * column / p->column_blocks,
                         panels * (column + 1) / p->column_blocks);
    TILES_END();
}

// The functions of the kernel table: bf16 on tiles, fp32 on vectors -------------------------------------------------

static size_t packed_size_either(const ck_matrix *matrix) {
    return matrix->precision == ck_bf16 ? packed_size_tiles(matrix) : packed_size(matrix);
}

static void pack_either(const ck_matrix *matrix, const float *weight) {
    (matrix->precision == ck_bf16 ? pack_tiles : pack)(matrix, weight);
}

static ck_status multiply_either(const ck_matrix *matrix, const ck_multiplication *m) {
    if (matrix->precision != ck_bf16) return multiply(matrix, m);
    product p = {matrix, m, 1, 1, ck_ok};
    divide(&p, 32, 32, TILE_BLOCK_ROWS);
    ck_share(p.row_blocks * p.column_blocks, multiply_item_tiles, &p);
    return (ck_status)p.status;
}

static double run_bare_either(int64_t rounds, ck_precision precision) {
    static const float operands[TILE_WORDS];
    if (precision != ck_bf16) return run_bare(rounds, precision);
    TILES_BEGIN();
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    TILE_LOAD(4, operands, 64);
    TILE_LOAD(5, operands, 64);
    TILE_LOAD(6, operands, 64);
    TILE_LOAD(7, operands, 64);
    for (int64_t k = 0; k < rounds; k++) FOUR_DOTS();
    TILES_END();
    return (double)rounds * 4 * 16 * 16 * 32 * 2;
}
