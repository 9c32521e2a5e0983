// SPDX-License-Identifier: Apache-2.0
//
// One pass between the tokens of a prompt and the places of the image, on vectors; `ck_pass` in CKernels.h defines
// it. Letters: B places in a block, C channels, J vectors of the tokens, ordered by token and then head, padded to
// whole tiles.
//
// All steps on a block of places run while the block is in the second-level cache: the scores, the shares, the new
// rows, their norm, and the sums that the tokens gather. Exponentials are powers of 2, so the tokens' vectors are
// multiplied by log2 e.

#include "Kernels.h"

enum { HEADS = 8, BLOCK = 64, CHUNK = 256 };

#define ITEM_SLOT 0
#define CALL_SLOT 2

typedef struct {
    const ck_pass *pass;
    int64_t C, J;  // J: vectors of the tokens, padded to a multiple of COLUMNS
    int64_t step;  // floats between the rows of shares: J and room for a last tile
    const float *key, *value, *query;  // packed: [J / COLUMNS][C][COLUMNS], [C / COLUMNS][J][COLUMNS], as key
    const float *offset;  // [J], -1e30 for the padding
    float *gathered;  // [chunk][largest J, sum J, sums (J + ROWS) * C]
    int64_t gathered_size;
    atomic_int status;
} passing;

// Packs [vectors, C], times `scale`, as panels of COLUMNS vectors, [C][COLUMNS] each.
static void pack_columns(const float *from, int64_t vectors, int64_t C, int64_t J, float scale, float *to) {
    for (int64_t panel = 0; panel < J; panel += COLUMNS)
        for (int64_t c = 0; c < C; c++)
            for (int64_t j = panel; j < panel + COLUMNS; j++) *to++ = j < vectors ? scale * from[j * C + c] : 0;
}

// Packs [vectors, C] as panels of COLUMNS channels, [J][COLUMNS] each.
static void pack_rows_of(const float *from, int64_t vectors, int64_t C, int64_t J, float *to) {
    for (int64_t panel = 0; panel < C; panel += COLUMNS)
        for (int64_t j = 0; j < J; j++)
            for (int64_t c = panel; c < panel + COLUMNS; c++) *to++ = j < vectors ? from[j * C + c] : 0;
}

// Computes shares[b][:] = offset + placed[b] . panels for whole tiles of rows.
static void score_block(const passing *p, const float *placed, const float *panels, const float *offset, int64_t rows,
                        float *shares) {
    for (int64_t j = 0; j < p->J; j += COLUMNS)
        for (int64_t b = 0; b < rows; b += ROWS) {
            vector tile[ROWS][2];
            vector low = offset ? load(offset + j) : every(0), high = offset ? load(offset + j + LANES) : every(0);
#pragma clang loop unroll(full)
            for (int i = 0; i < ROWS; i++) tile[i][0] = low, tile[i][1] = high;
            run_tile(ROWS, placed + b * p->C, p->C, 1, panels + j * p->C, p->C, tile, 0);
#pragma clang loop unroll(full)
            for (int i = 0; i < ROWS; i++) {
                store(shares + (b + i) * p->step + j, tile[i][0]);
                store(shares + (b + i) * p->step + j + LANES, tile[i][1]);
            }
        }
}

// The lanes of a vector hold the heads once or twice. This function exchanges the two copies.
INLINE vector other_heads(vector x) {
#if LANES == 16
    return __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
#else
    return x;
#endif
}

// Applies the softmax over the tokens of every head, for each place.
static void share_tokens(const passing *p, int64_t rows, float *shares) {
    for (int64_t b = 0; b < rows; b++) {
        float *row = shares + b * p->step;
        vector largest = load(row), sum = every(0);
        for (int64_t j = LANES; j < p->J; j += LANES) largest = larger(load(row + j), largest);
        largest = larger(other_heads(largest), largest);
        for (int64_t j = 0; j < p->J; j += LANES) {
            vector share = exp2_of(load(row + j) - largest);
            sum += share;
            store(row + j, share);
        }
        if (LANES > HEADS) sum += other_heads(sum);
        vector inverse = every(1) / sum;
        for (int64_t j = 0; j < p->J; j += LANES) store(row + j, load(row + j) * inverse);
    }
}

// Adds bias + shares[b] . value to rows[b].
static void spread_tokens(const passing *p, const float *shares, int64_t rows, float *x) {
    for (int64_t c = 0; c < p->C; c += COLUMNS)
        for (int64_t b = 0; b < rows; b += ROWS) {
            vector tile[ROWS][2];
            vector low = load(p->pass->bias + c), high = load(p->pass->bias + c + LANES);
#pragma clang loop unroll(full)
            for (int i = 0; i < ROWS; i++) {
                tile[i][0] = low + load(x + (b + i) * p->C + c);
                tile[i][1] = high + load(x + (b + i) * p->C + c + LANES);
            }
            run_tile(ROWS, shares + b * p->step, p->step, 1, p->value + c * p->J, p->J, tile, 0);
#pragma clang loop unroll(full)
            for (int i = 0; i < ROWS; i++) {
                store(x + (b + i) * p->C + c, tile[i][0]);
                store(x + (b + i) * p->C + c + LANES, tile[i][1]);
            }
        }
}

INLINE float total(vector x) {
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += x[i];
    return sum;
}

static void norm_row(const passing *p, float *x) {
    vector sum = every(0), squares = every(0);
    for (int64_t c = 0; c < p->C; c += LANES) sum += load(x + c);
    vector mean = every(total(sum) / (float)p->C);
    for (int64_t c = 0; c < p->C; c += LANES) {
        vector d = load(x + c) - mean;
        squares = fma_of(d, d, squares);
    }
    vector inverse = every(1 / sqrtf(total(squares) / (float)p->C + p->pass->epsilon));
    for (int64_t c = 0; c < p->C; c += LANES)
        store(x + c, fma_of((load(x + c) - mean) * inverse, load(p->pass->norm_weight + c),
                            load(p->pass->norm_bias + c)));
}

// Computes placed = x + positions. The rows that fill the last tile are zero.
static void place(const passing *p, int64_t first, int64_t count, int64_t rows, const float *x, float *placed) {
    const float *positions = p->pass->positions + first * p->C;
    for (int64_t i = 0; i < count * p->C; i += LANES) store(placed + i, load(x + i) + load(positions + i));
    memset(placed + count * p->C, 0, (size_t)((rows - count) * p->C) * sizeof *placed);
}

// Continues the softmax over the places. Shares are relative to the largest score so far, and earlier sums are
// rescaled to it.
static void share_places(const passing *p, int64_t count, float *shares, float *largest, float *sum, float *gathered) {
    for (int64_t j = 0; j < p->J; j += LANES) {
        vector old = load(largest + j), top = old, added = every(0);
        for (int64_t b = 0; b < count; b++) top = larger(load(shares + b * p->step + j), top);
        for (int64_t b = 0; b < count; b++) {
            vector share = exp2_of(load(shares + b * p->step + j) - top);
            added += share;
            store(shares + b * p->step + j, share);
        }
        vector factor = exp2_of(old - top);
        store(sum + j, fma_of(load(sum + j), factor, added));
        store(largest + j, top);
        for (int i = 0; i < LANES; i++) {
            if (factor[i] == 1) continue;
            float *row = gathered + (j + i) * p->C;
            for (int64_t c = 0; c < p->C; c += LANES) store(row + c, load(row + c) * every(factor[i]));
        }
    }
}

// Adds the sum over the block's places of shares[b][j] x[b] to gathered[j].
static void gather_block(const passing *p, const float *shares, int64_t count, const float *x, float *gathered) {
    for (int64_t c = 0; c < p->C; c += COLUMNS)
        for (int64_t j = 0; j < p->J; j += ROWS) {
            vector tile[ROWS][2];
            float *to = gathered + j * p->C + c;
#pragma clang loop unroll(full)
            for (int i = 0; i < ROWS; i++) tile[i][0] = load(to + i * p->C), tile[i][1] = load(to + i * p->C + LANES);
            for (int64_t b = 0; b < count; b++) {
                vector low = load(x + b * p->C + c), high = load(x + b * p->C + c + LANES);
#pragma clang loop unroll(full)
                for (int i = 0; i < ROWS; i++) {
                    vector share = every(shares[b * p->step + j + i]);
                    tile[i][0] = fma_of(share, low, tile[i][0]);
                    tile[i][1] = fma_of(share, high, tile[i][1]);
                }
            }
#pragma clang loop unroll(full)
            for (int i = 0; i < ROWS; i++) store(to + i * p->C, tile[i][0]), store(to + i * p->C + LANES, tile[i][1]);
        }
}

static void pass_block(const passing *p, int64_t first, int64_t count, float *x, float *placed, float *shares,
                       float *results) {
    const ck_pass *pass = p->pass;
    int64_t rows = rounded_up(count, ROWS);
    const float *now = pass->rows + first * p->C;
    place(p, first, count, rows, now, placed);
    if (pass->key) {
        memcpy(x, now, (size_t)(count * p->C) * sizeof *x);
        memset(x + count * p->C, 0, (size_t)((rows - count) * p->C) * sizeof *x);
        score_block(p, placed, p->key, p->offset, rows, shares);
        share_tokens(p, rows, shares);
        spread_tokens(p, shares, rows, x);
        for (int64_t b = 0; b < count; b++) norm_row(p, x + b * p->C);
        memcpy(pass->output + first * p->C, x, (size_t)(count * p->C) * sizeof *x);
        now = x;
        if (pass->query) place(p, first, count, rows, x, placed);
    }
    if (pass->query == NULL) return;
    float *largest = results, *sum = results + p->J, *gathered = results + 2 * p->J;
    score_block(p, placed, p->query, NULL, rows, shares);
    share_places(p, count, shares, largest, sum, gathered);
    gather_block(p, shares, count, now, gathered);
}

static void pass_chunk(void *context, int64_t chunk) {
    passing *p = context;
    int64_t B = rounded_up(BLOCK, ROWS);
    float *x = ck_scratch(ITEM_SLOT, (size_t)(2 * B * p->C + B * p->step) * sizeof *x);
    if (x == NULL) {
        p->status = ck_out_of_memory;
        return;
    }
    float *placed = x + B * p->C, *shares = placed + B * p->C;
    memset(shares, 0, (size_t)(B * p->step) * sizeof *shares);
    float *results = p->gathered + chunk * p->gathered_size;
    if (p->pass->query) {
        for (int64_t j = 0; j < p->J; j++) results[j] = -1e30f;
        memset(results + p->J, 0, (size_t)(p->gathered_size - p->J) * sizeof *results);
    }
    int64_t end = (chunk + 1) * CHUNK < p->pass->places ? (chunk + 1) * CHUNK : p->pass->places;
    for (int64_t first = chunk * CHUNK; first < end; first += BLOCK)
        pass_block(p, first, end - first < BLOCK ? end - first : BLOCK, x, placed, shares, results);
}

// Adds the sums of all chunks, rescaled to the largest score of all.
static void merge(const passing *p, int64_t chunks) {
    for (int64_t j = 0; j < p->pass->tokens * HEADS; j++) {
        float top = -1e30f, sum = 0;
        for (int64_t k = 0; k < chunks; k++) {
            float largest = p->gathered[k * p->gathered_size + j];
            if (largest > top) top = largest;
        }
        float *to = p->pass->sums + j * p->C;
        memset(to, 0, (size_t)p->C * sizeof *to);
        for (int64_t k = 0; k < chunks; k++) {
            const float *results = p->gathered + k * p->gathered_size, *row = results + 2 * p->J + j * p->C;
            float factor = exp2f(results[j] - top);
            sum += factor * results[p->J + j];
            for (int64_t c = 0; c < p->C; c += LANES) store(to + c, fma_of(load(row + c), every(factor), load(to + c)));
        }
        for (int64_t c = 0; c < p->C; c += LANES) store(to + c, load(to + c) / every(sum));
    }
}

static ck_status run_pass(const ck_pass *pass) {
    const float log2e = 1.44269504f;
    int64_t C = pass->channels, vectors = pass->tokens * HEADS, J = rounded_up(vectors, COLUMNS);
    int64_t chunks = (pass->places + CHUNK - 1) / CHUNK;
    passing p = {pass, C, J, J + ROWS, NULL, NULL, NULL, NULL, NULL, 2 * J + (J + ROWS) * C, ck_ok};
    size_t count = (size_t)(3 * J * C + J + chunks * p.gathered_size);
    float *room = ck_scratch(CALL_SLOT, count * sizeof *room);
    if (room == NULL) return ck_out_of_memory;
    float *key = room, *value = key + J * C, *query = value + J * C, *offset = query + J * C;
    if (pass->key) {
        pack_columns(pass->key, vectors, C, J, log2e, key);
        pack_rows_of(pass->value, vectors, C, J, value);
        for (int64_t j = 0; j < J; j++) offset[j] = j < vectors ? log2e * pass->offset[j] : -1e30f;
    }
    if (pass->query) pack_columns(pass->query, vectors, C, J, log2e, query);
    p.key = key;
    p.value = value;
    p.query = query;
    p.offset = offset;
    p.gathered = offset + J;
    ck_share(chunks, pass_chunk, &p);
    if (p.status == ck_ok && pass->query) merge(&p, chunks);
    return (ck_status)p.status;
}
