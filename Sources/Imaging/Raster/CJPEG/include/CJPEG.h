// SPDX-License-Identifier: Apache-2.0
//
// Reads a JPEG from memory with libjpeg. By default, an error in libjpeg ends the process. Catching the error needs
// setjmp, which Swift does not have.
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

// Returns 1 with a picture, or 0 with a message. Truncated files count as damaged. Pictures with more samples than
// `most` are refused before their memory is allocated.
int cjpeg_read(const unsigned char *bytes, size_t count, size_t most, cjpeg_picture *picture);

// Decodes a stream of 8 bits whose size is known into `samples`, [rows, columns, channels].
//
// `channels` is 1 or 3. `is_ybr` says whether three components are YCbCr, which become RGB, whatever markers the stream
// has. Returns 1, or 0 with a message of at most CJPEG_MESSAGE bytes if the stream has another size or is damaged.
int cjpeg_decode(const unsigned char *bytes, size_t count, int rows, int columns, int channels, int is_ybr,
                 unsigned char *samples, char *message);

#ifdef __cplusplus
}
#endif
