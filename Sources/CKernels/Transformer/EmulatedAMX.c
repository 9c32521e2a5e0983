// SPDX-License-Identifier: Apache-2.0
//
// The kernels for AMX on a processor with AVX2. TDPBF16PS sums the even and the odd products of pairs separately,
// each with fused multiply-adds, and adds both sums to the tile (Intel's Software Developer's Manual). The instruction
// treats denormal numbers as zero; the emulation does not.

#if defined(__x86_64__)
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "../Parallel.h"
#include "Transformer.h"

// Every function with a vector in its signature is inlined, so other object files do not depend on the way it is
// passed.
#pragma clang diagnostic ignored "-Wpsabi"
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)

typedef float lanes __attribute__((ext_vector_type(16)));
typedef int32_t words __attribute__((ext_vector_type(16)));

static _Thread_local lanes emulated[8][16];

static inline void load_tile(int tile, const void *from, size_t stride) {
    for (size_t row = 0; row < 16; row++) memcpy(&emulated[tile][row], (const char *)from + row * stride, 64);
}

static inline void store_tile(int tile, void *to, size_t stride) {
    for (size_t row = 0; row < 16; row++) memcpy((char *)to + row * stride, &emulated[tile][row], 64);
}

static void dot_tiles(int c, int a, int b) {
    for (int i = 0; i < 16; i++) {
        lanes even = {0}, odd = {0};
        for (int k = 0; k < 16; k++) {
            words left = (words)((lanes)(emulated[a][i][k])), right = (words)emulated[b][k];
            even = __builtin_elementwise_fma((lanes)(left << 16), (lanes)(right << 16), even);
            odd = __builtin_elementwise_fma((lanes)(left & (int32_t)0xffff0000), (lanes)(right & (int32_t)0xffff0000),
                                            odd);
        }
        emulated[c][i] += even + odd;
    }
}

#define TILE_ZERO(t) memset(emulated[t], 0, sizeof emulated[t])
#define TILE_LOAD(t, from, stride) load_tile(t, from, stride)
#define TILE_STORE(t, to, stride) store_tile(t, to, stride)
#define TILE_DOT(c, a, b) dot_tiles(c, a, b)
#define TILES_BEGIN() memset(emulated, 0xff, sizeof emulated)
#define TILES_END() memset(emulated, 0xff, sizeof emulated)

#define LANES 16
#define ROWS 14
#include "Vector.h"
#include "Tile.h"
#include "Product.h"
#include "Tiles.h"
#include "Attention.h"
#include "Rows.h"
#pragma clang attribute pop

const ck_kernels ck_emulated_amx_kernels = {
    .packed_size = packed_size_either, .pack = pack_either, .multiply = multiply_either, .attend = attend,
    .bare = run_bare_either, ROW_KERNELS};
#endif
