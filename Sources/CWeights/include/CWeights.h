// SPDX-License-Identifier: Apache-2.0
//
// The networks that ship inside the executable: whole safetensors files as read-only bytes. The table lies in
// weights.S, which training/exporting/embed.py writes from the files beside it.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *name;            // of the segmenter: "polyp-compact"
    const char *sha256;          // of the bytes, 64 hexadecimal digits; the file's name carries the first 8
    const unsigned char *bytes;  // aligned to 64, never freed
    size_t size;
} cweights_file;

// `cweights_count` entries, ordered by name.
extern const cweights_file *const cweights_files;
extern const size_t cweights_count;

#ifdef __cplusplus
}
#endif
