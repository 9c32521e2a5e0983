// SPDX-License-Identifier: Apache-2.0
//
// Decodes a JPEG 2000 or HTJ2K codestream from memory with OpenJPEG. OpenJPEG reads through callbacks, which Swift cannot
// write without a copy of every piece.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CJPEG2000_MESSAGE 200

typedef enum {
    CJPEG2000_OK = 0,
    CJPEG2000_CORRUPT = 1,   // bytes that do not decode
    CJPEG2000_OTHER_SIZE = 2 // the codestream does not have the size that the caller expects
} cjpeg2000_status;

// Decodes the codestream `bytes`, which begins with SOC and has no boxes around it.
//
// `decoded` is [rows, columns, components] and gets the low 16 bits of each sample. Components with fewer samples than
// pixels repeat theirs. The colour transform of the codestream is undone. With `lenient`, a codestream that ends early is
// decoded as far as it goes. `message`, of CJPEG2000_MESSAGE bytes, gets the reason of a failure, without values of the
// file. Any thread may call this function.
cjpeg2000_status cjpeg2000_decode(
    const uint8_t *bytes, size_t count, uint32_t rows, uint32_t columns, uint32_t components, int lenient,
    uint16_t *decoded, char *message);

#ifdef __cplusplus
}
#endif
