// SPDX-License-Identifier: Apache-2.0
//
// Attention over a grid or its windows on vectors, everything transposed: scores lie as [key][query], so that queries
// fill the vectors, softmax runs down the columns, and neither K nor V needs another order. Online softmax after
// Milakov and Gimelshein, blocked as in FlashAttention (Dao et al.): no T x T matrix exists.
//
// Letters: T tokens in H rows of W, D the size of a head, C = COLUMNS queries in a panel. With score s = q.k and the
// bias b, the share of a key is 2^((s + b / scale - maximum) scale log2 e): all bias is kept divided by the scale. Its
// part for the key's column starts the tile of scores, its part for the key's row enters with the maximum.

#define KEYS 256  // at most so many keys at once: their scores stay in the first-level cache
#define PANELS 16  // at most so many panels of queries go through the keys together

typedef struct {
    const ck_self_attention *a;
    int64_t H, W, down, across;  // windows of H x W
    int64_t D, words;  // words of a head along D
    int64_t blocks, panels;  // of queries in a window; panels in a block
    int64_t bias_stride;  // T rounded up to C
    const float *bias;  // [heads, T, bias_stride], divided by the scale; NULL: none
    const float *rel_height, *rel_width;  // [2 S - 1, words]; NULL: none
    atomic_int status;
} attention;

// One thread's memory, from its scratch.
typedef struct {
    float *keys, *values;  // [KEYS, words], [KEYS (/ 2 in pairs), D]
    float *queries, *sums;  // [panels, words, C], [panels, D, C]
    float *rows, *columns;  // [panels, H, C], [panels, W, C]: relative positions
    float *largest, *total;  // [panels, C]
    float *scores;  // [KEYS + 1, C]
    float *relative;  // [2 S - 1, C]
    int32_t *y, *x;  // [panels, C]: where the queries are in the window
} buffers;

INLINE int attends_in_pairs(const ck_self_attention *a) {
#ifdef DOT_PAIRS
    return a->form == ck_bf16;
#else
    (void)a;
    return 0;
#endif
}

static size_t lay_out(const attention *at, char *memory, buffers *b) {
    size_t used = 0;
    int64_t C = COLUMNS, longest = at->H > at->W ? at->H : at->W;
#define TAKE(field, count)                              \
    do {                                                \
        b->field = (void *)(memory + used);             \
        used += ((size_t)(count) * 4 + 63) / 64 * 64;   \
    } while (0)
    TAKE(scores, (KEYS + 1) * C);
    TAKE(keys, KEYS * at->words);
    TAKE(values, KEYS * at->D);
    TAKE(queries, at->panels * at->words * C);
    TAKE(sums, at->panels * at->D * C);
    TAKE(rows, at->rel_height ? at->panels * at->H * C : 0);
    TAKE(columns, at->rel_height ? at->panels * at->W * C : 0);
    TAKE(relative, at->rel_height ? (2 * longest - 1) * C : 0);
    TAKE(largest, at->panels * C);
    TAKE(total, at->panels * C);
    TAKE(y, at->panels * C);
    TAKE(x, at->panels * C);
#undef TAKE
    return used;
}

// Tokens --------------------------------------------------------------------------------------------------------------

typedef struct {
    int64_t image, top, left, head;
} place;

// The head's part (0 q, 1 k, 2 v) of a token, NULL outside the grid.
INLINE const void *token_of(const ck_self_attention *a, place at, int64_t y, int64_t x, int64_t part) {
    y += at.top, x += at.left;
    if (y >= a->height || x >= a->width) return NULL;
    int64_t element = (((at.image * a->height + y) * a->width + x) * 3 + part) * a->heads + at.head;
    size_t size = a->form == ck_bf16 ? sizeof(uint16_t) : sizeof(float);
    return (const char *)a->qkv + (size_t)(element * a->head_size) * size;
}

// A head's values as words: as they are, or bf16 widened where there are no pairs.
static void copy_words(const attention *at, const void *token, const float *padding, float *words, int pairs) {
    int64_t D = at->D;
    if (token == NULL) {
        uint16_t rounded[256];
        for (int64_t d = 0; d < D; d++) rounded[d] = ck_rounded(padding[d]);
        for (int64_t k = 0; k < at->words; k++)
            words[k] = pairs                         ? pair_of(rounded[2 * k], 2 * k + 1 < D ? rounded[2 * k + 1] : 0)
                       : at->a->form == ck_bf16 ? ck_widened(rounded[k])
                                                : padding[k];
    } else if (pairs) {
        words[at->words - 1] = 0;
        memcpy(words, token, (size_t)D * sizeof(uint16_t));
    } else if (at->a->form == ck_bf16) {
        for (int64_t d = 0; d < D; d++) words[d] = ck_widened(((const uint16_t *)token)[d]);
    } else {
        memcpy(words, token, (size_t)D * sizeof(float));
    }
}

static const float *padding_of(const ck_self_attention *a, int64_t part, int64_t head) {
    return a->padding ? a->padding + (part * a->heads + head) * a->head_size : NULL;
}

// Keys and values [first, first + count) of the window. In pairs, a word of the values holds two neighbouring keys.
static void fetch_keys(const attention *at, place p, int64_t first, int64_t count, const buffers *b, int pairs) {
    const ck_self_attention *a = at->a;
    const float *key_padding = padding_of(a, 1, p.head), *value_padding = padding_of(a, 2, p.head);
    float pair[2][256];
    for (int64_t i = 0; i < count; i++) {
        int64_t y = (first + i) / at->W, x = (first + i) % at->W;
        copy_words(at, token_of(a, p, y, x, 1), key_padding, b->keys + i * at->words, pairs);
        const void *value = token_of(a, p, y, x, 2);
        if (!pairs) {
            copy_words(at, value, value_padding, b->values + i * at->D, 0);
            continue;
        }
        copy_words(at, value, value_padding, pair[i & 1], 1);
        if (i + 1 == count && !(i & 1)) memset(pair[1], 0, sizeof pair[1]);
        if (i + 1 < count && !(i & 1)) continue;
        const uint16_t *even = (const uint16_t *)pair[0], *odd = (const uint16_t *)pair[1];
        for (int64_t d = 0; d < at->D; d++) b->values[i / 2 * at->D + d] = pair_of(even[d], odd[d]);
    }
}

// A panel of queries from the `first` on among those inside the grid; what is missing of it repeats the last place
// with zeros.
static void fetch_queries(const attention *at, place p, int64_t first, int64_t count, int64_t width, const buffers *b,
                          int64_t panel, int pairs) {
    float words[256], *queries = b->queries + panel * at->words * COLUMNS;
    for (int64_t lane = 0; lane < COLUMNS; lane++) {
        int64_t query = first + (lane < count ? lane : count - 1), y = query / width, x = query % width;
        b->y[panel * COLUMNS + lane] = (int32_t)y;
        b->x[panel * COLUMNS + lane] = (int32_t)x;
        const void *token = lane < count ? token_of(at->a, p, y, x, 0) : NULL;
        if (token)
            copy_words(at, token, NULL, words, pairs);
        else
            memset(words, 0, sizeof words);
        for (int64_t k = 0; k < at->words; k++) queries[k * COLUMNS + lane] = words[k];
    }
}

// Tiles ---------------------------------------------------------------------------------------------------------------

// output[i][:] = start[i][:] + sum over k of a[i, k] b[k][:], for i < rows; strides in floats.
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

// The scores of `rows` keys against a panel.
static void score(int64_t rows, const float *keys, int64_t words, const float *queries, const float *start,
                  int64_t start_step, float *scores, int pairs) {
    if (pairs)
        tiles(rows, keys, words, 1, queries, words, start, start_step, NULL, scores, 1);
    else
        tiles(rows, keys, words, 1, queries, words, start, start_step, NULL, scores, 0);
}

// sums = sums * factor + values^T shares; without a factor sums start at zero.
static void add_values(int64_t D, const float *values, const float *shares, int64_t count, const vector *factor,
                       float *sums, int pairs) {
    const float *start = factor ? sums : zeros;
    int64_t step = factor ? COLUMNS : 0;
    if (factor && pairs)
        tiles(D, values, 1, D, shares, count, start, step, factor, sums, 1);
    else if (factor)
        tiles(D, values, 1, D, shares, count, start, step, factor, sums, 0);
    else if (pairs)
        tiles(D, values, 1, D, shares, count, start, step, NULL, sums, 1);
    else
        tiles(D, values, 1, D, shares, count, start, step, NULL, sums, 0);
}

// Relative positions --------------------------------------------------------------------------------------------------

// output[key][lane] = q[lane] . table[place[lane] - key + extent - 1] / scale, key < extent.
static void relate(const attention *at, const float *table, int64_t extent, const int32_t *where, const float *queries,
                   float *products, float *output, int pairs) {
    int32_t low = where[0], high = where[0];
    for (int lane = 1; lane < COLUMNS; lane++) {
        low = where[lane] < low ? where[lane] : low;
        high = where[lane] > high ? where[lane] : high;
    }
    score(high - low + extent, table + low * at->words, at->words, queries, zeros, 0, products, pairs);
    float factor = 1 / at->a->scale;
    for (int64_t key = 0; key < extent; key++)
        for (int64_t lane = 0; lane < COLUMNS; lane++)
            output[key * COLUMNS + lane] =
                factor * products[(where[lane] - low - key + extent - 1) * COLUMNS + lane];
}

// Softmax -------------------------------------------------------------------------------------------------------------

typedef struct {
    const float *start, *row;  // of the bias: by key column or by key, and by key row
    int64_t start_step, row_step;
} bias_of_panel;

// Scores of keys [first, first + count) become shares; `factor` receives what earlier sums are to be multiplied by.
static void share_out(const attention *at, int64_t first, int64_t count, const bias_of_panel *bias, float *scores,
                      float *largest, float *total, vector factor[2]) {
    vector c = every(at->a->scale * (float)M_LOG2E);
    vector top[2] = {load(largest), load(largest + LANES)}, old[2] = {top[0], top[1]};
    for (int64_t i = 0; i < count;) {
        int64_t row = (first + i) / at->W, end = (row + 1) * at->W - first;
        if (end > count) end = count;
        vector low = load(scores + i * COLUMNS), high = load(scores + i * COLUMNS + LANES);
        for (i++; i < end; i++) {
            low = larger(low, load(scores + i * COLUMNS));
            high = larger(high, load(scores + i * COLUMNS + LANES));
        }
        top[0] = larger(top[0], low + load(bias->row + row * bias->row_step));
        top[1] = larger(top[1], high + load(bias->row + row * bias->row_step + LANES));
    }
    vector sum[2] = {every(0), every(0)};
    for (int64_t i = 0; i < count;) {
        int64_t row = (first + i) / at->W, end = (row + 1) * at->W - first;
        if (end > count) end = count;
        vector low = (load(bias->row + row * bias->row_step) - top[0]) * c;
        vector high = (load(bias->row + row * bias->row_step + LANES) - top[1]) * c;
        for (; i < end; i++) {
            float *at_key = scores + i * COLUMNS;
            vector left = exp2_of(fma_of(load(at_key), c, low)), right = exp2_of(fma_of(load(at_key + LANES), c, high));
            store(at_key, left), store(at_key + LANES, right);
            sum[0] += left, sum[1] += right;
        }
    }
    for (int half = 0; half < 2; half++) {
        factor[half] = exp2_of((old[half] - top[half]) * c);
        store(largest + half * LANES, top[half]);
        store(total + half * LANES, fma_of(load(total + half * LANES), factor[half], sum[half]));
    }
}

// Shares of neighbouring keys to pairs of bf16, in place; an odd one is paired with zero.
static void pair_shares(float *scores, int64_t count) {
    memset(scores + count * COLUMNS, 0, sizeof(float) * COLUMNS);
    for (int64_t i = 0; i < count; i += 2)
        for (int64_t lane = 0; lane < COLUMNS; lane += LANES) {
            integers even = rounded_bits(load(scores + i * COLUMNS + lane));
            integers odd = rounded_bits(load(scores + (i + 1) * COLUMNS + lane));
            store(scores + i / 2 * COLUMNS + lane, (vector)(((even >> 16) & 0xffff) | odd));
        }
}

// -----------------------------------------------------------------------------------------------------------------

static void attend_panel(const attention *at, place p, int64_t first, int64_t count, int64_t query, int64_t panel,
                         const buffers *b, int pairs) {
    bias_of_panel bias = {zeros, zeros, 0, 0};
    if (at->rel_height) {
        bias.start = b->columns + panel * at->W * COLUMNS, bias.start_step = COLUMNS;
        bias.row = b->rows + panel * at->H * COLUMNS, bias.row_step = COLUMNS;
    }
    const float *queries = b->queries + panel * at->words * COLUMNS;
    for (int64_t i = 0; i < count;) {
        int64_t column = (first + i) % at->W, run = at->W - column < count - i ? at->W - column : count - i;
        const float *start = bias.start + column * bias.start_step;
        int64_t step = bias.start_step;
        if (at->bias) {
            start = at->bias + (p.head * at->H * at->W + first + i) * at->bias_stride + query;
            step = at->bias_stride;
        }
        score(run, b->keys + i * at->words, at->words, queries, start, step, b->scores + i * COLUMNS, pairs);
        i += run;
    }
    vector factor[2];
    share_out(at, first, count, &bias, b->scores, b->largest + panel * COLUMNS, b->total + panel * COLUMNS, factor);
    if (pairs) pair_shares(b->scores, count);
    add_values(at->D, b->values, b->scores, pairs ? (count + 1) / 2 : count, first ? factor : NULL,
               b->sums + panel * at->D * COLUMNS, pairs);
}

static void write_panel(const attention *at, place p, int64_t count, int64_t panel, const buffers *b) {
    const ck_self_attention *a = at->a;
    float *sums = b->sums + panel * at->D * COLUMNS;
    for (int64_t lane = 0; lane < count; lane++) {
        int64_t y = p.top + b->y[panel * COLUMNS + lane], x = p.left + b->x[panel * COLUMNS + lane];
        if (y >= a->height || x >= a->width) continue;
        int64_t to = (((p.image * a->height + y) * a->width + x) * a->heads + p.head) * at->D;
        float factor = 1 / b->total[panel * COLUMNS + lane];
        for (int64_t d = 0; d < at->D; d++) {
            float value = sums[d * COLUMNS + lane] * factor;
            if (a->form == ck_fp32)
                ((float *)a->output)[to + d] = value;
            else
                ((uint16_t *)a->output)[to + d] = ck_rounded(value);
        }
    }
}

// One block of queries of one window and head.
static void attend_item(void *context, int64_t item) {
    attention *at = context;
    const ck_self_attention *a = at->a;
    int pairs = attends_in_pairs(a);
    int64_t block = item % at->blocks, windows = at->down * at->across, T = at->H * at->W;
    int64_t image = item / at->blocks / windows % a->batch, window = item / at->blocks % windows;
    int64_t head = item / at->blocks / windows / a->batch;
    place p = {image, window / at->across * at->H, window % at->across * at->W, head};
    // Queries outside the grid are left out, unless the table of biases wants its order.
    int64_t height = a->height - p.top < at->H && !at->bias ? a->height - p.top : at->H;
    int64_t width = a->width - p.left < at->W && !at->bias ? a->width - p.left : at->W;
    int64_t first = block * at->panels * COLUMNS, last = first + at->panels * COLUMNS;
    if (last > height * width) last = height * width;
    if (first >= last) return;
    buffers b;
    char *memory = ck_scratch(2, lay_out(at, NULL, &b));
    if (memory == NULL) {
        at->status = ck_out_of_memory;
        return;
    }
    lay_out(at, memory, &b);
    int64_t panels = (last - first + COLUMNS - 1) / COLUMNS;
    for (int64_t panel = 0; panel < panels; panel++) {
        int64_t query = first + panel * COLUMNS;
        fetch_queries(at, p, query, last - query < COLUMNS ? last - query : COLUMNS, width, &b, panel, pairs);
        for (int lane = 0; lane < COLUMNS; lane++)
            b.largest[panel * COLUMNS + lane] = -INFINITY, b.total[panel * COLUMNS + lane] = 0;
        if (at->rel_height == NULL) continue;
        const float *queries = b.queries + panel * at->words * COLUMNS;
        relate(at, at->rel_height, at->H, b.y + panel * COLUMNS, queries, b.relative,
               b.rows + panel * at->H * COLUMNS, pairs);
        relate(at, at->rel_width, at->W, b.x + panel * COLUMNS, queries, b.relative,
               b.columns + panel * at->W * COLUMNS, pairs);
    }
    int64_t step = at->W <= KEYS ? KEYS / at->W * at->W : KEYS;
    for (int64_t key = 0; key < T; key += step) {
        int64_t count = T - key < step ? T - key : step;
        fetch_keys(at, p, key, count, &b, pairs);
        for (int64_t panel = 0; panel < panels; panel++)
            attend_panel(at, p, key, count, first + panel * COLUMNS, panel, &b, pairs);
    }
    for (int64_t panel = 0; panel < panels; panel++) {
        int64_t left = last - first - panel * COLUMNS;
        write_panel(at, p, left < COLUMNS ? left : COLUMNS, panel, &b);
    }
}

// What all threads share ----------------------------------------------------------------------------------------------

// The table of biases, divided by the scale, its rows padded; and the tables of relative positions as words. Returns
// the bytes that they take; fills `memory` unless it is NULL.
static size_t prepare(attention *at, char *memory, int pairs) {
    const ck_self_attention *a = at->a;
    int64_t T = at->H * at->W;
    size_t used = 0;
    if (a->bias) {
        float *table = (float *)(void *)memory;
        for (int64_t row = 0; memory && row < a->heads * T; row++)
            for (int64_t i = 0; i < at->bias_stride; i++)
                table[row * at->bias_stride + i] = i < T ? a->bias[row * T + i] / a->scale : 0;
        at->bias = table;
        used += (size_t)(a->heads * T * at->bias_stride) * sizeof(float);
    }
    at->rel_height = a->rel_height, at->rel_width = a->rel_width;
    if (!a->rel_height || !pairs) return used;
    for (int axis = 0; axis < 2; axis++) {
        const float *from = axis ? a->rel_width : a->rel_height;
        int64_t rows = 2 * (axis ? at->W : at->H) - 1, D = at->D;
        float *table = (float *)(void *)(memory + used);
        for (int64_t k = 0; memory && k < rows * at->words; k++) {
            const float *pair = from + k / at->words * D + k % at->words * 2;
            table[k] = pair_of(ck_rounded(pair[0]), k % at->words * 2 + 1 < D ? ck_rounded(pair[1]) : 0);
        }
        *(axis ? &at->rel_width : &at->rel_height) = table;
        used += (size_t)(rows * at->words) * sizeof(float);
    }
    return used;
}

static ck_status attend(const ck_self_attention *a) {
    int pairs = attends_in_pairs(a);
    int64_t H = a->window ? a->window : a->height, W = a->window ? a->window : a->width, T = H * W;
    int64_t panels = (T + COLUMNS - 1) / COLUMNS, down = (a->height + H - 1) / H, across = (a->width + W - 1) / W;
    attention at = {.a = a, .H = H, .W = W, .down = down, .across = across, .D = a->head_size, .status = ck_ok};
    at.words = pairs ? (a->head_size + 1) / 2 : a->head_size;
    at.bias_stride = panels * COLUMNS;
    // Enough blocks that no thread stays idle for long.
    int64_t lots = a->batch * a->heads * down * across, wanted = 8 * (ck_threads() > 0 ? ck_threads() : 1);
    at.blocks = (panels + PANELS - 1) / PANELS;
    if (at.blocks * lots < wanted) at.blocks = (wanted + lots - 1) / lots < panels ? (wanted + lots - 1) / lots : panels;
    at.panels = (panels + at.blocks - 1) / at.blocks;
    size_t shared = prepare(&at, NULL, pairs);
    char *memory = shared ? ck_scratch(3, shared) : NULL;
    if (shared && memory == NULL) return ck_out_of_memory;
    prepare(&at, memory, pairs);
    ck_share(lots * at.blocks, attend_item, &at);
    return (ck_status)at.status;
}
