// SPDX-License-Identifier: Apache-2.0
//
// Products with a packed matrix, on vectors. The weight lies in panels of COLUMNS outputs, [panel][k][COLUMNS], padded
// with zeros. Strips of ROWS rows of the input are read in place, or packed as [strip][k][ROWS] if the words of a row
// are not those of the product, or if its rows would meet in one set of the first-level cache. The last strip has a
// tile of 1, FEW or ROWS rows, and is packed if it does not fill the tile. k runs in blocks whose panel stays in that
// cache, and `partial` holds the sums between these blocks.

#define DEEP 256  // the largest block of k, in words
#define WIDE 16  // panels whose partial sums are in memory together
#define FEW (ROWS < 8 ? ROWS : 8)  // as many as the tokens of the mask decoder

// The rows of the tile for a strip of `left` rows, at most ROWS.
INLINE int64_t tile_height(int64_t left) { return left <= 1 ? 1 : left <= FEW ? FEW : ROWS; }

// The number of words along k: one per number, or one per pair of bf16 if the path has instructions for pairs.
INLINE int64_t words_of(const ck_matrix *matrix, int pairs) { return pairs ? (matrix->k + 1) / 2 : matrix->k; }

INLINE int in_pairs(const ck_matrix *matrix) {
#ifdef DOT_PAIRS
    return matrix->precision == ck_bf16;
#else
    (void)matrix;
    return 0;
#endif
}

INLINE float pair_of(uint16_t low, uint16_t high) {
    uint32_t word = low | (uint32_t)high << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static size_t packed_size(const ck_matrix *matrix) {
    int64_t panels = (matrix->n + COLUMNS - 1) / COLUMNS;
    return (size_t)(panels * COLUMNS * words_of(matrix, in_pairs(matrix))) * sizeof(float);
}

static void pack(const ck_matrix *matrix, const float *weight) {
    int pairs = in_pairs(matrix);
    int64_t N = matrix->n, K = matrix->k, words = words_of(matrix, pairs);
    float *packed = matrix->packed;
    for (int64_t n = 0; n < (N + COLUMNS - 1) / COLUMNS * COLUMNS; n++)
        for (int64_t word = 0; word < words; word++) {
            float value = 0;
            if (n < N && pairs) {
                const float *from = weight + n * K + 2 * word;
                value = pair_of(ck_rounded(from[0]), 2 * word + 1 < K ? ck_rounded(from[1]) : 0);
            } else if (n < N) {
                value = weight[n * K + word];
                if (matrix->precision == ck_bf16) value = ck_widened(ck_rounded(value));
            }
            packed[(n / COLUMNS * words + word) * COLUMNS + n % COLUMNS] = value;
        }
}

// Packs `left` rows of the input as a strip with `height` rows. Missing rows repeat the last one; their results are not
// used.
INLINE void pack_strip(const ck_matrix *matrix, const ck_multiplication *m, int64_t first, int64_t left, int64_t words,
                       int pairs, float *packed, const int height) {
    int64_t whole = 0;
    size_t size = matrix->precision == ck_bf16 ? sizeof(uint16_t) : sizeof(float);
    const char *from[ROWS];
    for (int i = 0; i < height; i++)
        from[i] = (const char *)m->input + (size_t)((first + (i < left ? i : left - 1)) * m->input_stride) * size;
    if (matrix->precision == ck_bf16 && !pairs) {
        for (; whole < words; whole++)
            for (int i = 0; i < height; i++)
                packed[whole * height + i] = ck_widened(((const uint16_t *)(const void *)from[i])[whole]);
        return;
    }
    int64_t complete = pairs ? matrix->k / 2 : words;
    for (; whole < complete; whole++)
#pragma clang loop unroll(full)
        for (int i = 0; i < height; i++) memcpy(packed + whole * height + i, from[i] + 4 * whole, 4);
    if (whole < words)
        for (int i = 0; i < height; i++)
            packed[whole * height + i] = pair_of(((const uint16_t *)(const void *)from[i])[2 * whole], 0);
}

// Packs the input's rows [first, first + rows) into strips. Rows are copied as words: floats, bf16 pairs, or widened
// bf16.
static void pack_rows(const ck_matrix *matrix, const ck_multiplication *m, int64_t first, int64_t rows, int64_t words,
                      int pairs, float *packed) {
    for (; rows > 0; first += ROWS, rows -= ROWS, packed += words * ROWS) {
        int64_t left = rows < ROWS ? rows : ROWS, height = tile_height(left);
        if (height == ROWS)
            pack_strip(matrix, m, first, left, words, pairs, packed, ROWS);
        else if (height == 1)
            pack_strip(matrix, m, first, left, words, pairs, packed, 1);
        else
            pack_strip(matrix, m, first, left, words, pairs, packed, FEW);
    }
}

// The places of some columns of a row in the residual (or NULL) and in the output.
typedef struct {
    const float *residual;
    void *output;
} row_place;

INLINE row_place place_of(const ck_multiplication *m, int64_t row, int64_t column) {
    int64_t at = ck_row_start(m, row, m->output_stride) + column;
    return (row_place){m->residual ? m->residual + ck_row_start(m, row, m->residual_stride) + column : NULL,
                       m->output_form == ck_fp32 ? (void *)((float *)m->output + at)
                                                 : (void *)((uint16_t *)m->output + at)};
}

// Writes finished sums of a row and a panel to the output, after bias, activation and residual.
INLINE void finish_panel(const ck_multiplication *m, vector low, vector high, row_place place) {
    int adds = place.residual != NULL, last = m->activates_last;
    ck_activation activation = m->activation;
    if (adds && last) low += load(place.residual), high += load(place.residual + LANES);
    low = activated(low, activation), high = activated(high, activation);
    if (adds && !last) low += load(place.residual), high += load(place.residual + LANES);
    if (m->output_form == ck_fp32) {
        store((float *)place.output, low);
        store((float *)place.output + LANES, high);
    } else {
        store_bf16((uint16_t *)place.output, low);
        store_bf16((uint16_t *)place.output + LANES, high);
    }
}

// Does the same for the first `columns` columns of a panel, through a copy of them.
static void finish_columns(const ck_multiplication *m, vector low, vector high, row_place place, int64_t columns) {
    float residual[COLUMNS] = {0}, output[COLUMNS];
    uint16_t rounded[COLUMNS];
    if (place.residual) memcpy(residual, place.residual, (size_t)columns * sizeof *residual);
    row_place copy = {place.residual ? residual : NULL, m->output_form == ck_fp32 ? (void *)output : (void *)rounded};
    finish_panel(m, low, high, copy);
    if (m->output_form == ck_fp32)
        memcpy(place.output, output, (size_t)columns * sizeof *output);
    else
        memcpy(place.output, rounded, (size_t)columns * sizeof *rounded);
}

static void finish(const ck_multiplication *m, const vector *sums, int64_t row, int64_t rows, int64_t column,
                   int64_t columns) {
    for (int64_t i = 0; i < rows; i++, sums += 2) {
        row_place place = place_of(m, row + i, column);
        if (columns >= COLUMNS)
            finish_panel(m, sums[0], sums[1], place);
        else
            finish_columns(m, sums[0], sums[1], place, columns);
    }
}

// Multiplies one tile of `height` rows over one block of k. `partial` [height][2] holds the sums of earlier blocks,
// unless `starts` is set, and receives the new sums.
INLINE void multiply_tile(const int height, const float *a, int64_t row_step, int64_t k_step, const float *b,
                          int64_t count, const float *bias, int starts, vector *restrict partial, const int pairs) {
    vector tile[ROWS][2];
    if (starts) {
        vector low = load(bias), high = load(bias + LANES);
#pragma clang loop unroll(full)
        for (int i = 0; i < height; i++) tile[i][0] = low, tile[i][1] = high;
    } else {
#pragma clang loop unroll(full)
        for (int i = 0; i < height; i++) tile[i][0] = partial[2 * i], tile[i][1] = partial[2 * i + 1];
    }
    run_tile(height, a, row_step, k_step, b, count, tile, pairs);
#pragma clang loop unroll(full)
    for (int i = 0; i < height; i++) partial[2 * i] = tile[i][0], partial[2 * i + 1] = tile[i][1];
}

// A strip of the input: word k of row i lies at values[i * row_step + k * k_step].
typedef struct {
    const float *values;
    int64_t row_step, k_step;
} strip;

INLINE void multiply_strip(strip a, int64_t height, const float *b, int64_t count, const float *bias, int starts,
                           vector *partial, const int pairs) {
    if (height == 1)
        multiply_tile(1, a.values, 1, 1, b, count, bias, starts, partial, pairs);
    else if (height < ROWS && a.k_step == 1)
        multiply_tile(FEW, a.values, a.row_step, 1, b, count, bias, starts, partial, pairs);
    else if (height < ROWS)
        multiply_tile(FEW, a.values, 1, FEW, b, count, bias, starts, partial, pairs);
    else if (a.k_step == 1)
        multiply_tile(ROWS, a.values, a.row_step, 1, b, count, bias, starts, partial, pairs);
    else
        multiply_tile(ROWS, a.values, 1, ROWS, b, count, bias, starts, partial, pairs);
}

static void multiply_strip_of_floats(strip a, int64_t height, const float *b, int64_t count, const float *bias,
                                     int starts, vector *partial) {
    multiply_strip(a, height, b, count, bias, starts, partial, 0);
}

#ifdef DOT_PAIRS
static void multiply_strip_of_pairs(strip a, int64_t height, const float *b, int64_t count, const float *bias,
                                    int starts, vector *partial) {
    multiply_strip(a, height, b, count, bias, starts, partial, 1);
}
#else
#define multiply_strip_of_pairs multiply_strip_of_floats
#endif

typedef struct {
    const ck_matrix *matrix;
    const ck_multiplication *m;
    int64_t row_blocks, column_blocks;  // how the output is divided among the threads
    atomic_int status;
} product;

// Prefetches a strip's share of the next panel into the second-level cache while this panel is used. A panel that is
// used once arrives as fast without it.
INLINE void fetch_share(const float *next, int64_t count, int64_t strip, int64_t strips) {
    const char *from = (const char *)(next + count * COLUMNS * strip / strips);
    const char *end = (const char *)(next + count * COLUMNS * (strip + 1) / strips);
    for (; from < end; from += 64) __builtin_prefetch(from, 0, 2);
}

// Prefetches the lines that `finish` will read and write, while their sums are computed.
INLINE void fetch_output(const ck_multiplication *m, int64_t row, int64_t rows, int64_t column) {
    for (int64_t i = row; i < row + rows; i++) {
        row_place place = place_of(m, i, column);
        if (place.residual) __builtin_prefetch(place.residual, 0, 3);
        __builtin_prefetch(place.output, 1, 3);
    }
}

// The bytes between the rows of the input if strips that fill their tile can be read in place, else 0.
static int64_t direct_step(const ck_matrix *matrix, const ck_multiplication *m, int pairs) {
    int64_t size = matrix->precision == ck_bf16 ? 2 : 4, step = m->input_stride * size;
    if (matrix->precision == ck_bf16 && (!pairs || matrix->k % 2)) return 0;
    return step % 4 == 0 && step % 4096 != 0 ? step : 0;
}

// Computes the output's rows [first, first + rows) of the panels [panel, last_panel).
static void multiply_block(product *p, int64_t first, int64_t rows, int64_t panel, int64_t last_panel) {
    const ck_matrix *matrix = p->matrix;
    int pairs = in_pairs(matrix);
    int64_t words = words_of(matrix, pairs), strips = (rows + ROWS - 1) / ROWS;
    int64_t blocks = (words + DEEP - 1) / DEEP, deep = (words + blocks - 1) / blocks;
    int64_t step = direct_step(matrix, p->m, pairs), direct = 0;
    if (step) direct = (rows - 1) % ROWS + 1 == tile_height((rows - 1) % ROWS + 1) ? strips : strips - 1;
    size_t tile = sizeof(vector) * ROWS * 2;
    float *input = direct < strips ? ck_scratch(0, (size_t)((strips - direct) * ROWS * words) * sizeof(float)) : NULL;
    vector *partial = ck_scratch(1, (size_t)strips * WIDE * tile);
    if ((direct < strips && input == NULL) || partial == NULL) {
        p->status = ck_out_of_memory;
        return;
    }
    if (direct < strips) pack_rows(matrix, p->m, first + direct * ROWS, rows - direct * ROWS, words, pairs, input);
    for (; panel < last_panel; panel += WIDE)
        for (int64_t k = 0; k < words; k += deep) {
            int64_t count = words - k < deep ? words - k : deep;
            for (int64_t j = panel; j < panel + WIDE && j < last_panel; j++) {
                const float *b = (const float *)matrix->packed + (j * words + k) * COLUMNS;
                vector *sums = partial + (j - panel) * strips * ROWS * 2;
                for (int64_t i = 0; i < strips; i++, sums += ROWS * 2) {
                    int64_t left = rows - i * ROWS < ROWS ? rows - i * ROWS : ROWS, height = tile_height(left);
                    strip a;
                    if (i < direct) {
                        const char *row = (const char *)p->m->input + (first + i * ROWS) * step;
                        a = (strip){(const float *)(const void *)row + k, step / 4, 1};
                    } else {
                        a = (strip){input + (i - direct) * words * ROWS + k * height, 1, height};
                    }
                    int ends = k + count == words;
                    if (strips > 1) fetch_share(b + words * COLUMNS, count, i, strips);
                    if (ends) fetch_output(p->m, first + i * ROWS, left, j * COLUMNS);
                    (pairs ? multiply_strip_of_pairs : multiply_strip_of_floats)(
                        a, height, b, count, matrix->bias + j * COLUMNS, k == 0, sums);
                    if (ends)
                        finish(p->m, sums, first + i * ROWS, left, j * COLUMNS, matrix->n - j * COLUMNS);
                }
            }
        }
}

static void multiply_item(void *context, int64_t item) {
    product *p = context;
    int64_t strips = (p->m->rows + ROWS - 1) / ROWS, panels = (p->matrix->n + COLUMNS - 1) / COLUMNS;
    int64_t row = item % p->row_blocks, column = item / p->row_blocks;
    int64_t first = strips * row / p->row_blocks * ROWS, last = strips * (row + 1) / p->row_blocks * ROWS;
    if (last > p->m->rows) last = p->m->rows;
    multiply_block(p, first, last - first, panels * column / p->column_blocks,
                   panels * (column + 1) / p->column_blocks);
}

#define BLOCK_ROWS 192  // rows of the input that a thread packs together

// Divides the output into items: by rows, or by columns if there are too few rows for all threads. A small product is
// one item, on the calling thread.
static void divide(product *p, int64_t strip_rows, int64_t panel_columns, int64_t block_rows) {
    int64_t threads = ck_threads() > 0 ? ck_threads() : 1, rows = p->m->rows;
    if (rows <= block_rows && rows * p->matrix->n * p->matrix->k <= ck_few_products) return;
    int64_t strips = (rows + strip_rows - 1) / strip_rows, panels = (p->matrix->n + panel_columns - 1) / panel_columns;
    p->row_blocks = (rows + block_rows - 1) / block_rows;
    p->column_blocks = 1;
    if (p->row_blocks >= threads || strips >= 4 * threads) {
        // The number of blocks is a multiple of the threads, for equally fast threads; each free thread takes the
        // next block.
        p->row_blocks = rounded_up(p->row_blocks, threads);
        if (p->row_blocks > strips) p->row_blocks = strips;
    } else {
        p->column_blocks = panels < threads ? panels : threads;
    }
}

static ck_status multiply(const ck_matrix *matrix, const ck_multiplication *m) {
    product p = {matrix, m, 1, 1, ck_ok};
    divide(&p, ROWS, COLUMNS, BLOCK_ROWS);
    ck_share(p.row_blocks * p.column_blocks, multiply_item, &p);
    return (ck_status)p.status;
}
