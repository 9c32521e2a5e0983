// SPDX-License-Identifier: Apache-2.0
//
// Reads and writes PNG in memory with libpng. Samples are read as they are in the file, without the gamma, transparency
// and 16 bit conversions of libpng's simplified interface. Catching libpng's errors needs setjmp, which Swift does not
// have.
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

// Writes a picture of 8 bits, [rows, columns, channels], channels 1 or 3. Returns its bytes, owned by the caller: free();
// or NULL if there is not enough memory.
//
// The filter takes differences to the row above, and zlib looks for runs only. For the frames of a scope, that takes a
// sixth of the time of libpng's fast setting, and fewer bytes.
unsigned char *cpng_write(const unsigned char *samples, int rows, int columns, int channels, size_t *count);

#ifdef __cplusplus
}
#endif
