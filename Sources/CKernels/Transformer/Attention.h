// SPDX-License-Identifier: Apache-2.0
//
// Attention over a grid or its windows, on vectors. Everything is transposed: scores lie as [key][query]. Therefore
// queries fill the vectors, the softmax runs down the columns, and K and V keep their order. The softmax is computed
// online (Milakov and Gimelshein) and in blocks, as in FlashAttention (Dao et al.), so a T x T matrix never exists.
//
// Letters: T tokens in H rows of W, D numbers of a query or key per head, V of a value, C = COLUMNS queries in a panel.
// With score s = q.k and bias b, the share of a key is 2^((s + b / scale - maximum) scale log2 e). All biases are
// stored divided by the scale. The part of a bias that depends on the key's column is the start value of the tile of
// scores. The part that depends on the key's row is added with the maximum.

// Keys are taken in blocks of whole rows, or of a part of one row if that is long. A row of a block takes `pitch`
// places: one per key, or in pairs the next multiple of PLACES. A place without a key has the share 0. Without biases,
// all keys of a window are one row.

#define KEYS 256  // the most keys in a block, whose scores stay in the first-level cache
#ifdef TILES
#define PANELS 32  // the most panels of queries that go through the keys together
#define PLACES 16  // the places of a row are a multiple of this, as are the rows of a tile
#else
#define PANELS 16
#define PLACES 2
#endif
#define ROOM (KEYS + 32)  // places in a block, and those that tiles read beyond it

// Where the queries, keys or values lie, as a grid of tokens.
typedef struct {
    const char *values;  // of the first token and head
    int64_t step;  // numbers between neighbouring tokens
    int64_t height, width;
    int64_t H, W;  // of a window
} tokens;

typedef struct {
    const ck_self_attention *a;
    tokens of[3];  // q, k, v
    int64_t H, W, down, across;  // windows of H x W keys, or of H = 1 row without biases
    int64_t D, V, words, depth;  // numbers of a query or key, and of a value; words of a key; rows of the sums
    int64_t blocks, panels;  // blocks of queries in a window; panels in a block
    int64_t bias_stride;  // T rounded up to C
    const float *bias;  // [heads, T, bias_stride], divided by the scale; NULL: none
    const float *rel_height, *rel_width;  // [2 S - 1, words]; NULL: none
    int pairs, tiles;  // whether products take pairs of bf16, and whether they run on tiles, which take pairs
    int in_place;  // whether keys and values are used where they lie: as fp32, in one row without gaps
    atomic_int status;
} attention;

// The buffers of one thread, in its scratch memory.
typedef struct {
    float *keys, *values;  // [ROOM, words]; [ROOM, V], in pairs [ROOM / 2, V], with tiles [depth, ROOM / 2]
    float *queries, *sums;  // [panels, words, C], [panels, depth, C]
    float *rows, *columns;  // [panels, H, C], [panels, W, C]: relative positions
    float *largest, *total;  // [panels, C]
    float *scores;  // [ROOM, C]
    float *relative;  // [2 S - 1, C]
    int32_t *y, *x;  // [panels, C]: the positions of the queries in the window
} buffers;

static size_t lay_out(const attention *at, char *memory, buffers *b) {
    size_t used = 0;
    int64_t C = COLUMNS, longest = at->H > at->W ? at->H : at->W;
#define TAKE(field, count)                              \
    do {                                                \
        b->field = (void *)(memory + used);             \
        used += ((size_t)(count) * 4 + 63) / 64 * 64;   \
    } while (0)
    TAKE(scores, ROOM * C);
    TAKE(keys, ROOM * at->words);
    TAKE(values, ROOM * at->depth);
    TAKE(queries, at->panels * at->words * C);
    TAKE(sums, at->panels * at->depth * C);
    TAKE(rows, at->rel_height ? at->panels * at->H * C : 0);
    TAKE(columns, at->rel_height ? (at->panels * at->W + PLACES) * C : 0);
    TAKE(relative, at->rel_height ? (2 * longest - 1 + PLACES) * C : 0);
    TAKE(largest, at->panels * C);
    TAKE(total, at->panels * C);
    TAKE(y, at->panels * C);
    TAKE(x, at->panels * C);
#undef TAKE
    return used;
}

// Tokens --------------------------------------------------------------------------------------------------------------

// A window, by its row and column among the windows.
typedef struct {
    int64_t image, row, column, head;
} place;

// The head's part (0 is q, 1 is k, 2 is v) of a token, or NULL outside the grid.
INLINE const void *token_of(const attention *at, place p, int64_t y, int64_t x, int64_t part) {
    const tokens *t = &at->of[part];
    if (x >= t->W) y += x / t->W, x %= t->W;  // all keys are one row
    y += p.row * t->H, x += p.column * t->W;
    if (y >= t->height || x >= t->width) return NULL;
    int64_t element = ((p.image * t->height + y) * t->width + x) * t->step + p.head * (part == 2 ? at->V : at->D);
    return t->values + (size_t)element * (at->a->form == ck_bf16 ? sizeof(uint16_t) : sizeof(float));
}

// Copies D numbers of a head as words: unchanged, or widened from bf16 if the path does not use pairs. Zeros fill the
// rest of the words.
static void copy_words(const attention *at, const void *token, const float *padding, int64_t D, float *words) {
    uint16_t rounded[256];
    if (token == NULL && at->a->form == ck_bf16) {
        for (int64_t d = 0; d < D; d++) rounded[d] = ck_rounded(padding[d]);
        token = rounded;
    } else if (token == NULL) {
        token = padding;
    }
    if (at->pairs) {
        memcpy(words, token, (size_t)D * sizeof(uint16_t));
        memset((uint16_t *)words + D, 0, (size_t)(2 * at->words - D) * sizeof(uint16_t));
    } else if (at->a->form == ck_bf16) {
        for (int64_t d = 0; d < D; d++) words[d] = ck_widened(((const uint16_t *)token)[d]);
    } else {
        memcpy(words, token, (size_t)D * sizeof(float));
    }
}

static const float *padding_of(const ck_self_attention *a, int64_t part, int64_t head) {
    return a->padding ? a->padding + (part * a->heads + head) * a->head_size : NULL;
}

typedef struct {
    int64_t y, x, rows, columns, pitch;  // the keys from (y, x) of the window on
} block;

// A head's values in bf16: in place, or in `rounded` for padding.
static const uint16_t *halves_of(const attention *at, const void *token, const float *padding, uint16_t *rounded) {
    for (int64_t d = 0; token == NULL && d < at->V; d++) rounded[d] = ck_rounded(padding[d]);
    return token ? token : rounded;
}

// Writes the values of places 2 * pair and 2 * pair + 1; `odd` is NULL if there is no key. For tiles, values^T
// [depth, ROOM / 2] holds in row d the d-th value of all keys.
static void pair_values(const attention *at, const uint16_t *even, const uint16_t *odd, int64_t pair, float *values) {
    uint32_t *to = (uint32_t *)(void *)values;
    int64_t step = at->tiles ? ROOM / 2 : 1;
    to += at->tiles ? pair : pair * at->V;
    if (!at->tiles && odd)
        for (int64_t d = 0; d < at->V; d++) to[d] = even[d] | (uint32_t)odd[d] << 16;
    else
        for (int64_t d = 0; d < at->V; d++) to[d * step] = even[d] | (odd ? (uint32_t)odd[d] << 16 : 0);
}

#ifdef TILES
// Exchanges rows and columns of 16 x 16 words: of halves, then of quarters, and so on.
INLINE void transpose(vector v[16]) {
#define EXCHANGE(step, first, second)                                      \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 16; i++) {      \
        if (i & step) continue;                                            \
        vector a = v[i], b = v[i + step];                                  \
        v[i] = __builtin_shufflevector(a, b, first);                       \
        v[i + step] = __builtin_shufflevector(a, b, second);               \
    }
#define LIST(...) __VA_ARGS__
    EXCHANGE(8, LIST(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
             LIST(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
    EXCHANGE(4, LIST(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),
             LIST(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
    EXCHANGE(2, LIST(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),
             LIST(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
    EXCHANGE(1, LIST(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),
             LIST(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
#undef LIST
#undef EXCHANGE
}

// Writes values^T of a block for tiles, if V is a multiple of 16: in row d the d-th value of all places, in pairs.
static void transpose_values(const attention *at, place p, block k, const buffers *b) {
    static const uint16_t nothing[256];
    const float *padding = padding_of(at->a, 2, p.head);
    const uint16_t *from[ROOM];
    uint16_t outside[256];
    for (int64_t d = 0; padding && d < at->V; d++) outside[d] = ck_rounded(padding[d]);
    int64_t count = rounded_up(k.rows * k.pitch, 32), place = 0;
    for (int64_t row = 0; row < k.rows; row++)
        for (int64_t column = 0; column < k.pitch; column++, place++) {
            const void *token = column < k.columns ? token_of(at, p, k.y + row, k.x + column, 2) : nothing;
            from[place] = token ? token : outside;
        }
    for (; place < count; place++) from[place] = nothing;
    for (place = 0; place < count; place += 32)
        for (int64_t d = 0; d < at->V; d += 16) {
            vector v[16];
#pragma clang loop unroll(full)
            for (int i = 0; i < 16; i++) {
                integers even = (integers)load_bf16(from[place + 2 * i] + d);
                integers odd = (integers)load_bf16(from[place + 2 * i + 1] + d);
                v[i] = (vector)(odd | ((even >> 16) & 0xffff));
            }
            transpose(v);
#pragma clang loop unroll(full)
            for (int i = 0; i < 16; i++) store(b->values + (d + i) * (ROOM / 2) + place / 2, v[i]);
        }
}
#endif

// Copies the keys and values of a block. In pairs, a word of the values holds two neighbouring places.
static void fetch_keys(const attention *at, place p, block k, const buffers *b) {
    const ck_self_attention *a = at->a;
    const float *key_padding = padding_of(a, 1, p.head), *value_padding = padding_of(a, 2, p.head);
    uint16_t even[256], odd[256];
    int turns = at->tiles && at->V % 16 == 0;
#ifdef TILES
    if (turns) transpose_values(at, p, k, b);
#endif
    if (at->tiles && !turns) memset(b->values, 0, (size_t)(ROOM / 2 * at->depth) * sizeof(float));
    for (int64_t row = 0; row < k.rows; row++)
        for (int64_t column = 0; column < k.columns; column++) {
            int64_t place = row * k.pitch + column, y = k.y + row, x = k.x + column;
            copy_words(at, token_of(at, p, y, x, 1), key_padding, at->D, b->keys + place * at->words);
            if (turns) continue;
            const void *value = token_of(at, p, y, x, 2);
            if (!at->pairs) {
                copy_words(at, value, value_padding, at->V, b->values + place * at->V);
            } else if (column % 2 == 0) {
                const uint16_t *first = halves_of(at, value, value_padding, even), *second = NULL;
                if (column + 1 < k.columns)
                    second = halves_of(at, token_of(at, p, y, x + 1, 2), value_padding, odd);
                pair_values(at, first, second, place / 2, b->values);
            }
        }
}

// Copies a panel of queries, from `first` on, among those inside the grid. If the panel is not full, the last place
// is repeated with zeros.
static void fetch_queries(const attention *at, place p, int64_t first, int64_t count, int64_t width, const buffers *b,
                          int64_t panel) {
    float words[256], *queries = b->queries + panel * at->words * COLUMNS;
    for (int64_t lane = 0; lane < COLUMNS; lane++) {
        int64_t query = first + (lane < count ? lane : count - 1), y = query / width, x = query % width;
        b->y[panel * COLUMNS + lane] = (int32_t)y;
        b->x[panel * COLUMNS + lane] = (int32_t)x;
        const void *token = lane < count ? token_of(at, p, y, x, 0) : NULL;
        if (token)
            copy_words(at, token, NULL, at->D, words);
        else
            memset(words, 0, sizeof words);
        for (int64_t k = 0; k < at->words; k++) queries[k * COLUMNS + lane] = words[k];
    }
}

// Tiles ---------------------------------------------------------------------------------------------------------------

// Computes output[i][:] = start[i][:] + sum over k of a[i, k] b[k][:] for i < rows; strides count floats.
INLINE void one_tile(const int rows, const float *a, int64_t row_step, int64_t k_step, const float *b, int64_t count,
                     const float *start, int64_t start_step, const vector *factor, float *output, int pairs) {
    vector tile[ROWS][2];
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
        tile[i][0] = load(start + i * start_step), tile[i][1] = load(start + i * start_step + LANES);
        if (factor) tile[i][0] *= factor[0], tile[i][1] *= factor[1];
    }
    run_tile(rows, a, row_step, k_step, b, count, tile, pairs);
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
        store(output + i * COLUMNS, tile[i][0]), store(output + i * COLUMNS + LANES, tile[i][1]);
}

INLINE void tiles(int64_t rows, const float *a, int64_t row_step, int64_t k_step, const float *b, int64_t count,
                  const float *start, int64_t start_step, const vector *factor, float *output, int pairs) {
#define STEP(size)                                                                                             \
    for (; rows >= size; rows -= size, a += size * row_step, start += size * start_step, output += size * COLUMNS) \
    one_tile(size, a, row_step, k_step, b, count, start, start_step, factor, output, pairs)
    STEP(ROWS);
#if ROWS > 8
    STEP(8);
#endif
    STEP(4);
    STEP(2);
    STEP(1);
#undef STEP
}

static const float zeros[COLUMNS] __attribute__((aligned(64)));

// Computes the scores of `rows` keys against a panel. Tiles read and write whole multiples of PLACES.
static void score(const attention *at, int64_t rows, const float *keys, const float *queries, const float *start,
                  int64_t start_step, float *scores) {
    int64_t words = at->words;
#ifdef TILES
    if (at->tiles) return score_tiles(rows, keys, words, queries, start, start_step, scores);
#endif
    if (at->pairs)
        tiles(rows, keys, words, 1, queries, words, start, start_step, NULL, scores, 1);
    else
        tiles(rows, keys, words, 1, queries, words, start, start_step, NULL, scores, 0);
}

// Computes sums = sums * factor + values^T shares over `count` places. Without a factor, sums start at zero.
static void add_values(const attention *at, const float *values, const float *shares, int64_t count,
                       const vector *factor, float *sums) {
    const float *start = factor ? sums : zeros;
    int64_t step = factor ? COLUMNS : 0, V = at->V;
#ifdef TILES
    if (at->tiles) return add_values_tiles(at->depth, values, ROOM / 2, shares, count, factor, sums);
#endif
    if (at->pairs) count = (count + 1) / 2;
    if (factor && at->pairs)
        tiles(V, values, 1, V, shares, count, start, step, factor, sums, 1);
    else if (factor)
        tiles(V, values, 1, V, shares, count, start, step, factor, sums, 0);
    else if (at->pairs)
        tiles(V, values, 1, V, shares, count, start, step, NULL, sums, 1);
    else
        tiles(V, values, 1, V, shares, count, start, step, NULL, sums, 0);
}

// Relative positions --------------------------------------------------------------------------------------------------

// Computes output[key][lane] = q[lane] . table[place[lane] - key + extent - 1] / scale for key < extent.
static void relate(const attention *at, const float *table, int64_t extent, const int32_t *where, const float *queries,
                   float *products, float *output) {
    int32_t low = where[0], high = where[0];
    for (int lane = 1; lane < COLUMNS; lane++) {
        low = where[lane] < low ? where[lane] : low;
        high = where[lane] > high ? where[lane] : high;
    }
    score(at, high - low + extent, table + low * at->words, queries, zeros, 0, products);
    float factor = 1 / at->a->scale;
    for (int64_t key = 0; key < extent; key++)
        for (int64_t lane = 0; lane < COLUMNS; lane++)
            output[key * COLUMNS + lane] =
                factor * products[(where[lane] - low - key + extent - 1) * COLUMNS + lane];
}

// Softmax -------------------------------------------------------------------------------------------------------------

// Turns the scores of a row into shares 2^(s c + less).
static void shares(block k, float *scores, vector c, const vector less[2], vector sum[2]) {
    for (int64_t i = 0; i < k.columns; i++, scores += COLUMNS)
        for (int half = 0; half < 2; half++) {
            vector share = exp2_of(fma_of(load(scores + half * LANES), c, less[half]));
            store(scores + half * LANES, share);
            sum[half] += share;
        }
}

// Turns the scores of a row into shares as pairs of bf16, one pair for two neighbouring places. The pairs may overwrite
// the scores of earlier places.
static void pair_shares(block k, const float *scores, vector c, const vector less[2], float *pairs, vector sum[2]) {
    int64_t i = 0;
    for (; i + 1 < k.columns; i += 2, scores += 2 * COLUMNS, pairs += COLUMNS)
        for (int half = 0; half < 2; half++) {
            vector even = coarse_exp2_of(fma_of(load(scores + half * LANES), c, less[half]));
            vector odd = coarse_exp2_of(fma_of(load(scores + COLUMNS + half * LANES), c, less[half]));
            store(pairs + half * LANES, pair_of_vectors(even, odd));
            sum[half] += even + odd;
        }
    for (; i < k.pitch; i += 2, pairs += COLUMNS)
        for (int half = 0; half < 2; half++) {
            vector even = every(0);
            if (i < k.columns) even = coarse_exp2_of(fma_of(load(scores + half * LANES), c, less[half]));
            store(pairs + half * LANES, pair_of_vectors(even, every(0)));
            sum[half] += even;
        }
}

// Turns the scores of a block into shares; pairs take half of the memory. `row_bias` is [H, C] of the window, or
// zeros with step 0. `factor` receives the factor for earlier sums.
static void share_out(const attention *at, block k, const float *row_bias, int64_t step, float *scores, float *largest,
                      float *total, vector factor[2]) {
    vector c = every(at->a->scale * (float)M_LOG2E);
    vector top[2] = {load(largest), load(largest + LANES)}, old[2] = {top[0], top[1]};
    row_bias += k.y * step;
    for (int64_t row = 0; row < k.rows; row++) {
        const float *from = scores + row * k.pitch * COLUMNS, *bias = row_bias + row * step;
        vector low = load(from), high = load(from + LANES);
        for (int64_t i = 1; i < k.columns; i++) {
            low = larger(low, load(from + i * COLUMNS));
            high = larger(high, load(from + i * COLUMNS + LANES));
        }
        top[0] = larger(top[0], low + load(bias)), top[1] = larger(top[1], high + load(bias + LANES));
    }
    vector sum[2] = {every(0), every(0)};
    for (int64_t row = 0; row < k.rows; row++) {
        float *at_key = scores + row * k.pitch * COLUMNS;
        const float *bias = row_bias + row * step;
        vector less[2] = {(load(bias) - top[0]) * c, (load(bias + LANES) - top[1]) * c};
        if (at->pairs)
            pair_shares(k, at_key, c, less, scores + row * k.pitch / 2 * COLUMNS, sum);
        else
            shares(k, at_key, c, less, sum);
    }
    int64_t count = k.rows * k.pitch, end = rounded_up(count, 32);  // tiles take 16 pairs together
    if (at->tiles) memset(scores + count / 2 * COLUMNS, 0, (size_t)((end - count) / 2 * COLUMNS) * sizeof(float));
    for (int half = 0; half < 2; half++) {
        factor[half] = exp2_of((old[half] - top[half]) * c);
        store(largest + half * LANES, top[half]);
        store(total + half * LANES, fma_of(load(total + half * LANES), factor[half], sum[half]));
    }
}

// Panels --------------------------------------------------------------------------------------------------------------

// Runs a panel of queries, whose first one is `query`, against a block of keys. `starts` is set for the first block.
static void attend_panel(const attention *at, place p, block k, int64_t query, int64_t panel, int starts,
                         const buffers *b) {
    const float *queries = b->queries + panel * at->words * COLUMNS, *rows = zeros;
    for (int64_t row = 0; row < k.rows; row++) {
        const float *start = zeros;
        int64_t step = 0, place = row * k.pitch;
        if (at->rel_height)
            start = b->columns + (panel * at->W + k.x) * COLUMNS, step = COLUMNS;
        if (at->bias) {
            start = at->bias + ((p.head * at->H + k.y + row) * at->W + k.x) * at->bias_stride + query;
            step = at->bias_stride;
        }
        score(at, k.columns, b->keys + place * at->words, queries, start, step, b->scores + place * COLUMNS);
    }
    if (at->rel_height) rows = b->rows + panel * at->H * COLUMNS;
    vector factor[2];
    share_out(at, k, rows, at->rel_height ? COLUMNS : 0, b->scores, b->largest + panel * COLUMNS,
              b->total + panel * COLUMNS, factor);
    add_values(at, b->values, b->scores, k.rows * k.pitch, starts ? NULL : factor,
               b->sums + panel * at->depth * COLUMNS);
}

// Runs all keys of the window, block by block, against all panels.
static void attend_panels(const attention *at, place p, int64_t query, int64_t panels, buffers *b) {
    int64_t pitch = rounded_up(at->W, at->pairs ? PLACES : 1), rows = pitch <= KEYS ? KEYS / pitch : 1;
    for (int64_t y = 0; y < at->H; y += rows)
        for (int64_t x = 0; x < at->W; x += KEYS) {
            block k = {y, x, at->H - y < rows ? at->H - y : rows, at->W - x < KEYS ? at->W - x : KEYS, 0};
            k.pitch = rounded_up(k.columns, at->pairs ? PLACES : 1);
            if (at->in_place) {
                b->keys = (float *)token_of(at, p, y, x, 1);
                b->values = (float *)token_of(at, p, y, x, 2);
            } else {
                fetch_keys(at, p, k, b);
            }
            for (int64_t panel = 0; panel < panels; panel++)
                attend_panel(at, p, k, query + panel * COLUMNS, panel, y == 0 && x == 0, b);
        }
}

static void write_panel(const attention *at, place p, int64_t count, int64_t panel, const buffers *b) {
    const ck_self_attention *a = at->a;
    float *sums = b->sums + panel * at->depth * COLUMNS;
    int64_t words = at->V;
    for (int64_t half = 0; half < COLUMNS; half += LANES) {
        vector factor = 1 / load(b->total + panel * COLUMNS + half);
        for (int64_t d = 0; d < at->V; d++) store(sums + d * COLUMNS + half, load(sums + d * COLUMNS + half) * factor);
    }
    if (a->form == ck_bf16 && at->V % 2 == 0) {
        words = at->V / 2;
        for (int64_t d = 0; d < words; d++)
            for (int64_t half = 0; half < COLUMNS; half += LANES)
                store(sums + d * COLUMNS + half, pair_of_vectors(load(sums + 2 * d * COLUMNS + half),
                                                                 load(sums + (2 * d + 1) * COLUMNS + half)));
    }
    for (int64_t lane = 0; lane < count; lane++) {
        const tokens *t = &at->of[0];
        int64_t y = p.row * t->H + b->y[panel * COLUMNS + lane], x = p.column * t->W + b->x[panel * COLUMNS + lane];
        if (y >= t->height || x >= t->width) continue;
        int64_t to = (((p.image * t->height + y) * t->width + x) * a->heads + p.head) * at->V;
        if (a->form == ck_bf16 && at->V % 2) {
            for (int64_t d = 0; d < at->V; d++) ((uint16_t *)a->output)[to + d] = ck_rounded(sums[d * COLUMNS + lane]);
        } else {
            float *output = a->form == ck_bf16 ? (float *)(void *)((uint16_t *)a->output + to) : (float *)a->output + to;
            for (int64_t d = 0; d < words; d++) memcpy(output + d, sums + d * COLUMNS + lane, sizeof(float));
        }
    }
}

static void prepare_panels(const attention *at, place p, int64_t first, int64_t last, int64_t width, const buffers *b) {
    for (int64_t panel = 0; first + panel * COLUMNS < last; panel++) {
        int64_t query = first + panel * COLUMNS, some = panel * COLUMNS;
        fetch_queries(at, p, query, last - query < COLUMNS ? last - query : COLUMNS, width, b, panel);
        for (int lane = 0; lane < COLUMNS; lane++) b->largest[some + lane] = -INFINITY, b->total[some + lane] = 0;
        if (at->rel_height == NULL) continue;
        const float *queries = b->queries + some * at->words;
        relate(at, at->rel_height, at->H, b->y + some, queries, b->relative, b->rows + some * at->H);
        relate(at, at->rel_width, at->W, b->x + some, queries, b->relative, b->columns + some * at->W);
    }
}

// Computes one block of queries of one window and head.
static void attend_item(void *context, int64_t item) {
    attention *at = context;
    const ck_self_attention *a = at->a;
    int64_t windows = at->down * at->across, window = item / at->blocks % windows, lot = item / at->blocks / windows;
    place p = {lot % a->batch, window / at->across, window % at->across, lot / a->batch};
    // Queries outside the grid are skipped, unless a table of biases prescribes the order of queries.
    const tokens *t = &at->of[0];
    int64_t height = t->H, width = t->W;
    if (!at->bias && t->height - p.row * t->H < height) height = t->height - p.row * t->H;
    if (!at->bias && t->width - p.column * t->W < width) width = t->width - p.column * t->W;
    int64_t first = item % at->blocks * at->panels * COLUMNS, last = first + at->panels * COLUMNS;
    if (last > height * width) last = height * width;
    if (first >= last) return;
    buffers b;
    char *memory = ck_scratch(2, lay_out(at, NULL, &b));
    if (memory == NULL) {
        at->status = ck_out_of_memory;
        return;
    }
    lay_out(at, memory, &b);
#ifdef TILES
    if (at->tiles) TILES_BEGIN();
#endif
    int64_t panels = (last - first + COLUMNS - 1) / COLUMNS;
    prepare_panels(at, p, first, last, width, &b);
    attend_panels(at, p, first, panels, &b);
    for (int64_t panel = 0; panel < panels; panel++) {
        int64_t left = last - first - panel * COLUMNS;
        write_panel(at, p, left < COLUMNS ? left : COLUMNS, panel, &b);
    }
#ifdef TILES
    if (at->tiles) TILES_END();
#endif
}

// Shared by all threads -----------------------------------------------------------------------------------------------

// Prepares the table of biases, divided by the scale and with padded rows, and the tables of relative positions as
// words. It returns the number of bytes that they take and fills `memory`, unless `memory` is NULL.
static size_t prepare(attention *at, char *memory) {
    const ck_self_attention *a = at->a;
    int64_t T = at->H * at->W;
    size_t used = 0;
    if (a->bias) {
        float *table = (float *)(void *)memory;
        for (int64_t row = 0; memory && row < a->heads * T; row++)
            for (int64_t i = 0; i < at->bias_stride; i++)
                table[row * at->bias_stride + i] = i < T ? a->bias[row * T + i] / a->scale : 0;
        at->bias = table;
        used += (size_t)((a->heads * T + PLACES) * at->bias_stride) * sizeof(float);
    }
    at->rel_height = a->rel_height, at->rel_width = a->rel_width;
    if (!a->rel_height || !at->pairs) return used;
    for (int axis = 0; axis < 2; axis++) {
        const float *from = axis ? a->rel_width : a->rel_height;
        int64_t rows = 2 * (axis ? at->W : at->H) - 1, D = at->D;
        float *table = (float *)(void *)(memory + used);
        for (int64_t row = 0; memory && row < rows; row++)
            for (int64_t d = 0; d < 2 * at->words; d++)
                ((uint16_t *)table)[row * 2 * at->words + d] = d < D ? ck_rounded(from[row * D + d]) : 0;
        *(axis ? &at->rel_width : &at->rel_height) = table;
        used += (size_t)((rows + PLACES) * at->words) * sizeof(float);
    }
    return used;
}

// Finds the queries, keys and values.
static void find_tokens(const ck_self_attention *a, tokens of[3]) {
    size_t size = a->form == ck_bf16 ? sizeof(uint16_t) : sizeof(float);
    int64_t all = a->heads * a->head_size, values = a->heads * ck_value_size(a);
    for (int part = 0; part < 3; part++) {
        of[part] = (tokens){NULL, 3 * all, a->height, a->width, a->window ? a->window : a->height,
                            a->window ? a->window : a->width};
        if (a->qkv) of[part].values = (const char *)a->qkv + (size_t)(part * all) * size;
    }
    if (a->query)
        of[0] = (tokens){a->query, all, a->query_height, a->query_width,
                         a->query_window ? a->query_window : a->query_height,
                         a->query_window ? a->query_window : a->query_width};
    if (a->key) {
        of[1].values = a->key, of[2].values = a->value;
        of[1].step = all, of[2].step = values;
    }
}

static ck_status attend(const ck_self_attention *a) {
    int64_t H = a->window ? a->window : a->height, W = a->window ? a->window : a->width, D = a->head_size;
    int64_t down = (a->height + H - 1) / H, across = (a->width + W - 1) / W;
    int flat = !a->rel_height && !a->bias;  // the order of keys in a window does not matter
    attention at = {.a = a, .H = flat ? 1 : H, .W = flat ? H * W : W, .down = down, .across = across, .D = D,
                    .V = ck_value_size(a), .words = D};
    at.depth = at.V;
    find_tokens(a, at.of);
    int64_t panels = (at.of[0].H * at.of[0].W + COLUMNS - 1) / COLUMNS;
#ifdef TILES
    at.pairs = at.tiles = a->form == ck_bf16;
    if (at.tiles) at.words = rounded_up(D, 32) / 2, at.depth = rounded_up(at.V, 16);
#elif defined(DOT_PAIRS)
    at.pairs = a->form == ck_bf16;
    if (at.pairs) at.words = (D + 1) / 2;
#endif
    at.in_place = a->form == ck_fp32 && at.H == 1 && !a->window && at.of[1].step == D && at.of[2].step == at.V;
    at.bias_stride = panels * COLUMNS;
    // There are enough blocks to keep all threads busy, but every block fetches all keys, and may have to copy them.
    int64_t lots = a->batch * a->heads * down * across;
    int64_t wanted = (at.in_place ? 4 : 2) * (ck_threads() > 0 ? ck_threads() : 1);
    at.blocks = (panels + PANELS - 1) / PANELS;
    if (at.blocks * lots < wanted) at.blocks = (wanted + lots - 1) / lots < panels ? (wanted + lots - 1) / lots : panels;
    at.panels = (panels + at.blocks - 1) / at.blocks;
    size_t shared = prepare(&at, NULL);
    char *memory = shared ? ck_scratch(3, shared) : NULL;
    if (shared && memory == NULL) return ck_out_of_memory;
    prepare(&at, memory);
    ck_share(lots * at.blocks, attend_item, &at);
    return (ck_status)at.status;
}
