// SPDX-License-Identifier: Apache-2.0
//
// The kernels for AVX2 and FMA. The 16 registers hold a tile of 6 x 16 numbers.

#if defined(__x86_64__)
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "../Parallel.h"
#include "Transformer.h"

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define LANES 8
#define ROWS 6
#include "Vector.h"
#include "Tile.h"
#include "Product.h"
#include "Attention.h"
#include "Rows.h"
#pragma clang attribute pop

const ck_kernels ck_avx2_kernels = {
    .packed_size = packed_size, .pack = pack, .multiply = multiply, .attend = attend,
    .bare = run_bare, ROW_KERNELS};
#endif
