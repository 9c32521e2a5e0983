// SPDX-License-Identifier: Apache-2.0
//
// Reads a PNG from memory with libpng: its samples as they are in the file, without the gamma, transparency and 16 bit
// conversions of libpng's simplified interface. Catching libpng's errors needs setjmp, which Swift does not have.
#pragma once

#include <png.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPNG_MESSAGE 200

typedef struct {
    int rows, columns, channels;  // channels: 1 (grey) or 3 (RGB); palettes become RGB, alpha is dropped
    int depth;                    // 8 or 16; grey of 1, 2 and 4 bits is spread over 0...255
    void *samples;                // [rows, columns, channels] of uint8_t or uint16_t, owned by the caller: free()
    char message[CPNG_MESSAGE];   // why there is no picture
} cpng_picture;

// Returns 1 with a picture, or 0 with a message. Truncated files count as damaged. Pictures of more bytes than `most`
// are refused before their memory is allocated.
int cpng_read(const unsigned char *bytes, size_t count, size_t most, cpng_picture *picture);

#ifdef __cplusplus
}
#endif
