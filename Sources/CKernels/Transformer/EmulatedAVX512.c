// SPDX-License-Identifier: Apache-2.0
//
// The kernels for AVX-512 on a processor with AVX2. The compiler splits every vector in two, and the results are the
// same bit for bit.

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
#define LANES 16
#define ROWS 14
#include "Vector.h"
#include "Tile.h"
#include "Product.h"
#include "Attention.h"
#include "Rows.h"
#pragma clang attribute pop

const ck_kernels ck_emulated_avx512_kernels = {
    .packed_size = packed_size, .pack = pack, .multiply = multiply, .attend = attend,
    .bare = run_bare, ROW_KERNELS};
#endif
