// SPDX-License-Identifier: Apache-2.0
//
// The kernels for AVX-512 with products of bf16 pairs, on a processor with AVX2. VDPBF16PS adds the product of the
// odd elements and then that of the even elements, each with a fused multiply-add (Intel's Software Developer's
// Manual). The instruction treats denormal numbers as zero; the emulation does not.

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
#define DOT_PAIRS(acc, a, b) dot_pairs(acc, a, b)
typedef float lanes __attribute__((ext_vector_type(LANES)));
typedef int32_t words __attribute__((ext_vector_type(LANES)));
static inline __attribute__((always_inline)) lanes dot_pairs(lanes acc, lanes a, lanes b) {
    lanes odd_a = (lanes)((words)a & (int32_t)0xffff0000), odd_b = (lanes)((words)b & (int32_t)0xffff0000);
    acc = __builtin_elementwise_fma(odd_a, odd_b, acc);
    return __builtin_elementwise_fma((lanes)((words)a << 16), (lanes)((words)b << 16), acc);
}
#include "Vector.h"
#include "Tile.h"
#include "Product.h"
#include "Attention.h"
#include "Rows.h"
#pragma clang attribute pop

const ck_kernels ck_emulated_avx512_bf16_kernels = {
    .packed_size = packed_size, .pack = pack, .multiply = multiply, .attend = attend,
    .bare = run_bare, ROW_KERNELS};
#endif
