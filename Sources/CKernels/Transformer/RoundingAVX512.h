// SPDX-License-Identifier: Apache-2.0
//
// Rounding to bf16 with the instructions of AVX512-BF16, for Vector.h.

// The instructions turn denormal numbers into zeros.
#define HALVES_OF(x) ((halves)_mm512_cvtneps_pbh((__m512)(x)))
#define PAIR_OF(even, odd) pair_by_hardware(even, odd)
static inline __attribute__((always_inline)) __m512 pair_by_hardware(__m512 even, __m512 odd) {
    static const uint16_t order[32] __attribute__((aligned(64))) = {
        0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return (__m512)_mm512_permutexvar_epi16(_mm512_load_si512(order), (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}
