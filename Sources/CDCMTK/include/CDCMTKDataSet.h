// SPDX-License-Identifier: Apache-2.0
//
// Data sets and codecs.
//
// Ownership. The caller owns a data set that it creates or reads, and frees it once with cdcmtk_data_set_destroy. Items
// belong to their data set and are not freed. A pointer to an item or to value bytes stays valid until its data set is
// changed or destroyed. The caller frees a buffer in a cdcmtk_bytes with cdcmtk_bytes_free.
//
// Threads. One data set belongs to one thread at a time. Data sets are independent of each other. The other functions may
// be called from any thread at any time.
//
// Errors. C++ exceptions do not cross this header. Every function that can fail returns a status, and cdcmtk_last_error
// returns the reason. Lengths are in bytes. Strings without a length are UTF-8 or ASCII and end with a zero.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    CDCMTK_OK = 0,
    CDCMTK_END = 1,            // nothing further to iterate
    CDCMTK_NOT_FOUND = 2,
    CDCMTK_INVALID = 3,        // an argument that DCMTK does not accept
    CDCMTK_CORRUPT = 4,        // bytes that do not decode
    CDCMTK_UNSUPPORTED = 5,
    CDCMTK_TOO_LARGE = 6,
    CDCMTK_NO_MEMORY = 7,
    CDCMTK_IO = 8,
    CDCMTK_INTERNAL = 9,
} cdcmtk_status;

typedef struct cdcmtk_data_set cdcmtk_data_set;
typedef struct cdcmtk_item cdcmtk_item;

typedef struct {
    uint8_t *data;
    size_t length;
} cdcmtk_bytes;

// Turns off DCMTK's logger, which quotes values, and registers the codecs. Every other function calls this one first.
void cdcmtk_initialize(void);

// The reason of this thread's last failure: a constant text without values of the data set.
const char *cdcmtk_last_error(void);

void cdcmtk_bytes_free(cdcmtk_bytes *bytes);

// ---- Data sets. Tags are group << 16 | element.

cdcmtk_data_set *cdcmtk_data_set_create(void);
void cdcmtk_data_set_destroy(cdcmtk_data_set *data_set);

// Parses a Part 10 file. DCMTK parses recursively, so the caller must have checked the nesting.
cdcmtk_status cdcmtk_data_set_read(const char *path, cdcmtk_data_set **data_set);

cdcmtk_item *cdcmtk_data_set_root(cdcmtk_data_set *data_set);

// Puts one element, and replaces an element of this tag. `vr` is two letters. The value is encoded in little endian
// (PS3.5), and gets padding to an even length. Sequences have functions of their own.
cdcmtk_status cdcmtk_item_put(cdcmtk_item *item, uint32_t tag, const char *vr, const uint8_t *value, size_t length);

// Puts a sequence without items.
cdcmtk_status cdcmtk_item_put_sequence(cdcmtk_item *item, uint32_t tag);

// Appends an item to a sequence, and makes the sequence if it is absent.
cdcmtk_status cdcmtk_item_append(cdcmtk_item *item, uint32_t tag, cdcmtk_item **appended);

// Gets the value of one element in little endian. The bytes belong to the data set.
cdcmtk_status cdcmtk_item_get(cdcmtk_item *item, uint32_t tag, const uint8_t **value, size_t *length);

// Gets item `index` of a sequence, counted from 0; CDCMTK_END after the last.
cdcmtk_status cdcmtk_item_child(cdcmtk_item *item, uint32_t tag, size_t index, cdcmtk_item **child);

// Gets the element at `index`, counted from 0 in the order of tags; CDCMTK_END after the last. `vr` gets two letters and
// a zero.
cdcmtk_status cdcmtk_item_element(cdcmtk_item *item, size_t index, uint32_t *tag, char vr[3]);

// Takes bytes in order. A result other than 0 stops the writing with CDCMTK_IO.
typedef int (*cdcmtk_sink)(void *context, const uint8_t *bytes, size_t length);

// Encodes the data set, without File Meta Information, in Explicit VR Little Endian with explicit lengths.
cdcmtk_status cdcmtk_data_set_write(cdcmtk_data_set *data_set, cdcmtk_sink sink, void *context);

// ---- The dictionary, text and deflate.

// Gets the VR of a standard attribute, two letters and a zero; `UN` if the dictionary does not have the attribute.
void cdcmtk_dictionary_vr(uint32_t tag, char vr[3]);

// Converts text to UTF-8. `character_set` is the value of Specific Character Set: several are separated by backslashes,
// and it may be empty.
cdcmtk_status cdcmtk_utf8(
    const char *character_set, const uint8_t *text, size_t length, const char *delimiters, cdcmtk_bytes *utf8);

// Inflates RFC 1951 bytes; CDCMTK_TOO_LARGE for a result of more than `limit` bytes, CDCMTK_CORRUPT if the input ends
// early.
cdcmtk_status cdcmtk_inflate(const uint8_t *deflated, size_t length, size_t limit, cdcmtk_bytes *inflated);

// ---- Codecs.

// One frame as the Image Pixel Module describes it. `bits_allocated` must be that of the compressed samples: 8 for a
// precision of at most 8 bits, else 16.
typedef struct {
    uint16_t rows;
    uint16_t columns;
    uint16_t samples_per_pixel;
    uint16_t bits_allocated;
    uint16_t bits_stored;
    uint16_t is_signed;
    // RGB, MONOCHROME2 and PALETTE COLOR are kept. A DCT-based codec turns YBR_FULL and YBR_FULL_422 into RGB.
    const char *photometric_interpretation;
} cdcmtk_frame_layout;

// Decodes one frame of a JPEG or JPEG-LS transfer syntax to colour by pixel, samples in little endian. `decoded_length`
// must be rows * columns * samples * bytes per sample.
cdcmtk_status cdcmtk_decode_frame(
    const char *transfer_syntax_uid, const cdcmtk_frame_layout *layout, const uint8_t *compressed, size_t length,
    uint8_t *decoded, size_t decoded_length);

#ifdef __cplusplus
}
#endif
