// SPDX-License-Identifier: Apache-2.0
//
// bf16 as bits: the upper half of an fp32.
#pragma once

#include <stdint.h>
#include <string.h>

static inline float ck_widened(uint16_t bits) {
    uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

// To nearest, ties to even; NaN stays NaN.
static inline uint16_t ck_rounded(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    if ((word & 0x7fffffff) > 0x7f800000) return (uint16_t)((word >> 16) | 0x40);
    return (uint16_t)((word + 0x7fff + ((word >> 16) & 1)) >> 16);
}
