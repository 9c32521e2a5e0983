// SPDX-License-Identifier: Apache-2.0
//
// Vectors of LANES floats for the kernels of one instruction set. The including file defines LANES (8 or 16) and
// compiles for its processor. It defines DOT_PAIRS if it has products of bf16 pairs, and HALVES_OF and PAIR_OF if the
// processor can round to bf16. Nothing else here names an instruction. The compiler splits vectors that are wider
// than the processor's, and the results are the same bit for bit.

#include "Numbers.h"
#include "Transformer.h"

#define INLINE static inline __attribute__((always_inline, unused))

INLINE int64_t rounded_up(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

typedef float vector __attribute__((ext_vector_type(LANES)));
typedef int32_t integers __attribute__((ext_vector_type(LANES)));
typedef float vector_anywhere __attribute__((ext_vector_type(LANES), aligned(4), may_alias));

INLINE vector load(const float *from) { return *(const vector_anywhere *)from; }
INLINE void store(float *to, vector x) { *(vector_anywhere *)to = x; }
// A vector with copies of one word, bit for bit.
INLINE vector every(float x) { return (vector)(x); }
INLINE vector fma_of(vector a, vector b, vector c) { return __builtin_elementwise_fma(a, b, c); }
INLINE vector larger(vector a, vector b) { return a > b ? a : b; }  // b where a is NaN

// acc + a b. A word of a and b is a float or, with `pairs`, two bf16 whose products are summed.
INLINE vector multiply_add(vector a, vector b, vector acc, int pairs) {
#ifdef DOT_PAIRS
    if (pairs) return DOT_PAIRS(acc, a, b);
#endif
    (void)pairs;
    return fma_of(a, b, acc);
}

// 2^x for x <= 0 with a relative error of 1.5e-7; below -126 it is 2^-126, and NaN stays NaN. The polynomial is the
// minimax one of degree 5 with constant 1 on [-1/2, 1/2].
INLINE vector exp2_of(vector x) {
    vector floor = every(-126), magic = every(0x1.8p23f);
    x = floor > x ? floor : x;
    vector shifted = x + magic, f = x - (shifted - magic);
    vector p = fma_of(every(0x1.5bba0ap-10f), f, every(0x1.3cea88p-7f));
    p = fma_of(p, f, every(0x1.c6b752p-5f));
    p = fma_of(p, f, every(0x1.ebf9bcp-3f));
    p = fma_of(p, f, every(0x1.62e42ap-1f));
    p = fma_of(p, f, every(1));
    return (vector)((integers)p + ((integers)shifted << 23));
}

// 2^x with a relative error of 1.1e-4, for results that are rounded to bf16 (relative error 2e-3). The polynomial is
// the minimax one of degree 3.
INLINE vector coarse_exp2_of(vector x) {
    vector floor = every(-126), magic = every(0x1.8p23f);
    x = floor > x ? floor : x;
    vector shifted = x + magic, f = x - (shifted - magic);
    vector p = fma_of(every(0x1.c2a25cp-5f), f, every(0x1.f00c4ep-3f));
    p = fma_of(p, f, every(0x1.62f5fap-1f));
    p = fma_of(p, f, every(1));
    return (vector)((integers)p + ((integers)shifted << 23));
}

// GELU: x / 2 (1 + erf(x / sqrt 2)) = max(x, 0) - |x| h(|x|) with h(u) = erfc(u / sqrt 2) / 2 = 2^-q(u). The absolute
// error is 5e-8 max(1, |x|). q is the minimax polynomial on [0, 6] for the error of u h(u); beyond 6, h stays 1e-9.
INLINE vector gelu_of(vector x) {
    vector u = (vector)((integers)x & 0x7fffffff), end = every(6);
    vector v = u > end ? end : u;
    vector q = fma_of(every(4.776439e-7f), v, every(-9.051734e-6f));
    q = fma_of(q, v, every(7.1978306e-5f));
    q = fma_of(q, v, every(-2.7503507e-4f));
    q = fma_of(q, v, every(-1.5031817e-6f));
    q = fma_of(q, v, every(6.9478494e-3f));
    q = fma_of(q, v, every(-5.244399e-2f));
    q = fma_of(q, v, every(-4.5921904e-1f));
    q = fma_of(q, v, every(-1.1511045f));
    q = fma_of(q, v, every(-1));
    vector positive = x > every(0) ? x : every(0);
    return fma_of(-u, exp2_of(q), positive);
}

INLINE vector activated(vector x, ck_activation activation) {
    if (activation == ck_gelu) return gelu_of(x);
    if (activation == ck_relu) return every(0) > x ? every(0) : x;
    return x;
}

// The nearest bf16 in the upper half of every lane, with zeros in the lower half; ties go to even, NaN stays NaN.
INLINE integers rounded_bits(vector x) {
    integers word = (integers)x;
    integers rounded = (word + 0x7fff + (((word >> 16) & 1))) & (int32_t)0xffff0000;
    integers quiet = (word | 0x00400000) & (int32_t)0xffff0000;
    return x != x ? quiet : rounded;
}

// Two vectors as pairs of bf16, with `even` in the lower halves.
INLINE vector pair_of_vectors(vector even, vector odd) {
#ifdef PAIR_OF
    return PAIR_OF(even, odd);
#endif
    return (vector)(((rounded_bits(even) >> 16) & 0xffff) | rounded_bits(odd));
}

typedef uint16_t halves __attribute__((ext_vector_type(LANES)));
typedef uint16_t halves_anywhere __attribute__((ext_vector_type(LANES), aligned(2), may_alias));

INLINE void store_bf16(uint16_t *to, vector x) {
#ifdef HALVES_OF
    *(halves_anywhere *)to = HALVES_OF(x);
    return;
#endif
    typedef uint32_t words __attribute__((ext_vector_type(LANES)));
    *(halves_anywhere *)to = __builtin_convertvector((words)rounded_bits(x) >> 16, halves);
}

INLINE vector load_bf16(const uint16_t *from) {
    return (vector)(__builtin_convertvector((halves)(*(const halves_anywhere *)from), integers) << 16);
}
