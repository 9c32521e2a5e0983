// SPDX-License-Identifier: Apache-2.0
//
// The bits of a bf16 number are the upper half of an fp32 number.
#pragma once

#include <stdint.h>
#include <string.h>

// Widens a bf16 number to fp32, exactly.
static inline float ck_widened(uint16_t bits) {
    uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

// Rounds to the nearest bf16, ties to even; NaN stays NaN.
static inline uint16_t ck_rounded(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    if ((word & 0x7fffffff) > 0x7f800000) return (uint16_t)((word >> 16) | 0x40);
    return (uint16_t)((word + 0x7fff + ((word >> 16) & 1)) >> 16);
}
