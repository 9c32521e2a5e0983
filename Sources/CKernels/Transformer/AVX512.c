// SPDX-License-Identifier: Apache-2.0
//
// The kernels for AVX-512. The 32 registers hold a tile of 14 x 32 numbers.

#if defined(__x86_64__)
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "../Parallel.h"
#include "Transformer.h"

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#define LANES 16
#define ROWS 14
#include "Vector.h"
#include "Tile.h"
#include "Product.h"
#include "Attention.h"
#include "Rows.h"
#pragma clang attribute pop

const ck_kernels ck_avx512_kernels = {
    .packed_size = packed_size, .pack = pack, .multiply = multiply, .attend = attend,
    .bare = run_bare, ROW_KERNELS};
#endif
