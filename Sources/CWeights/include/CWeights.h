// SPDX-License-Identifier: Apache-2.0
//
// The networks inside the executable: whole safetensors files as read-only bytes. weights.S holds the table.
// training/exporting/embed.py writes weights.S from the files in files/.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// One network. All pointers are valid as long as the process runs, and any thread may read them.
typedef struct {
    const char *name;            // name of the network, such as "polyp-compact"
    const char *sha256;          // SHA-256 of the bytes, 64 hexadecimal digits; the file's name has the first 8
    const unsigned char *bytes;  // aligned to 64 bytes
    size_t size;                 // number of bytes
} cweights_file;

// The table: `cweights_count` networks, ordered by name.
extern const cweights_file *const cweights_files;
extern const size_t cweights_count;

#ifdef __cplusplus
}
#endif
