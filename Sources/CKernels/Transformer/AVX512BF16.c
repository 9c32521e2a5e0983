// SPDX-License-Identifier: Apache-2.0
//
// The kernels for AVX-512 with instructions for products of bf16 pairs.

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "../Parallel.h"
#include "Transformer.h"

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))), \
                             apply_to = function)
#define LANES 16
#define ROWS 14
#define DOT_PAIRS(acc, a, b) ((vector)_mm512_dpbf16_ps((__m512)(acc), (__m512bh)(a), (__m512bh)(b)))
#include "RoundingAVX512.h"
#include "Vector.h"
#include "Tile.h"
#include "Product.h"
#include "Attention.h"
#include "Rows.h"
#pragma clang attribute pop

const ck_kernels ck_avx512_bf16_kernels = {
    .packed_size = packed_size, .pack = pack, .multiply = multiply, .attend = attend,
    .bare = run_bare, ROW_KERNELS};
#endif
