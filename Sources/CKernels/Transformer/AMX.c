// SPDX-License-Identifier: Apache-2.0
//
// The kernels for AMX: bf16 products run on its tiles, and everything else runs as for AVX-512.

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "../Parallel.h"
#include "Transformer.h"

#pragma clang attribute push(                                                                           \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16"))), apply_to = function)

// Palette 1 with eight tiles of 16 rows x 64 bytes. The configuration belongs to the thread, and oneDNN changes it,
// so every use begins with TILES_BEGIN.
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_configuration;

static const tile_configuration eight_tiles = {
    1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, from, stride) _tile_loadd(t, from, stride)
#define TILE_STORE(t, to, stride) _tile_stored(t, to, stride)
#define TILE_DOT(c, a, b) _tile_dpbf16ps(c, a, b)
#define TILES_BEGIN() _tile_loadconfig(&eight_tiles)
#define TILES_END() _tile_release()

#define LANES 16
#define ROWS 14
#include "RoundingAVX512.h"
#include "Vector.h"
#include "Tile.h"
#include "Product.h"
#include "Tiles.h"
#include "Attention.h"
#include "Rows.h"
#pragma clang attribute pop

const ck_kernels ck_amx_kernels = {
    .packed_size = packed_size_either, .pack = pack_either, .multiply = multiply_either, .attend = attend,
    .bare = run_bare_either, ROW_KERNELS};
#endif
