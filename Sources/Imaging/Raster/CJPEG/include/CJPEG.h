// SPDX-License-Identifier: Apache-2.0
//
// Reads a JPEG from memory with libjpeg, whose errors would otherwise end the process: they need setjmp, which Swift
// has not.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CJPEG_MESSAGE 200

typedef struct {
    int rows, columns, channels;  // channels: 1 or 3 (RGB)
    unsigned char *samples;       // [rows, columns, channels], owned by the caller: free()
    char message[CJPEG_MESSAGE];  // why there is no picture
} cjpeg_picture;

// 1: a picture; 0: none, and a message. Truncated files count as damaged. Pictures with more samples than `most` are
// refused before their memory is taken.
int cjpeg_read(const unsigned char *bytes, size_t count, size_t most, cjpeg_picture *picture);

#ifdef __cplusplus
}
#endif
