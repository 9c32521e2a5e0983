// SPDX-License-Identifier: Apache-2.0
//
// Data sets and codecs.
//
// Ownership. A data set is owned by who created it and freed once with cdcmtk_data_set_destroy. Items belong to their
// data set and are never freed; a pointer to an item or to value bytes is good until its data set is changed or
// destroyed. Buffers that a function hands out through a cdcmtk_bytes are freed with cdcmtk_bytes_free.
//
// Threads. One data set belongs to one thread at a time; different ones are independent. The other functions may be
// called from any thread at any time.
//
// Errors. No C++ exception leaves; every function that can fail returns a status, and cdcmtk_last_error says more.
// Lengths are in bytes and explicit; strings that come in are UTF-8 or ASCII and end with a zero where no length is given.
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
    CDCMTK_INVALID = 3,        // an argument that DCMTK does not take
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

// Silences DCMTK's logger, which quotes values, and registers the codecs. Every other function does it if need be.
void cdcmtk_initialize(void);

// What went wrong in the last call of this thread that failed: constant words without values of the data set.
const char *cdcmtk_last_error(void);

void cdcmtk_bytes_free(cdcmtk_bytes *bytes);

// ---- Data sets. Tags are group << 16 | element.

cdcmtk_data_set *cdcmtk_data_set_create(void);
void cdcmtk_data_set_destroy(cdcmtk_data_set *data_set);

// Parses a Part 10 file. DCMTK parses recursively: only for files whose nesting has been checked.
cdcmtk_status cdcmtk_data_set_read(const char *path, cdcmtk_data_set **data_set);

cdcmtk_item *cdcmtk_data_set_root(cdcmtk_data_set *data_set);

// Puts one element, replacing what is there. `vr` is two letters. The value is as PS3.5 encodes it in little endian;
// padding to even length is added. Sequences have functions of their own.
cdcmtk_status cdcmtk_item_put(cdcmtk_item *item, uint32_t tag, const char *vr, const uint8_t *value, size_t length);

// Puts a sequence without items.
cdcmtk_status cdcmtk_item_put_sequence(cdcmtk_item *item, uint32_t tag);

// Appends an item to a sequence, which is made if it is not there.
cdcmtk_status cdcmtk_item_append(cdcmtk_item *item, uint32_t tag, cdcmtk_item **appended);

// The value of one element, in little endian, borrowed.
cdcmtk_status cdcmtk_item_get(cdcmtk_item *item, uint32_t tag, const uint8_t **value, size_t *length);

// Item `index` of a sequence, from 0; CDCMTK_END after the last.
cdcmtk_status cdcmtk_item_child(cdcmtk_item *item, uint32_t tag, size_t index, cdcmtk_item **child);

// The element at `index`, from 0, in the order of tags; CDCMTK_END after the last. `vr` gets two letters and a zero.
cdcmtk_status cdcmtk_item_element(cdcmtk_item *item, size_t index, uint32_t *tag, char vr[3]);

// Takes bytes in order; anything but 0 stops the writing with CDCMTK_IO.
typedef int (*cdcmtk_sink)(void *context, const uint8_t *bytes, size_t length);

// Encodes the data set, without File Meta Information, in Explicit VR Little Endian with explicit lengths.
cdcmtk_status cdcmtk_data_set_write(cdcmtk_data_set *data_set, cdcmtk_sink sink, void *context);

// ---- The dictionary, text and deflate.

// The VR of a standard attribute: two letters and a zero, `UN` when the dictionary does not know it.
void cdcmtk_dictionary_vr(uint32_t tag, char vr[3]);

// Text from `character_set` (a value of Specific Character Set, several ones separated by backslashes, or empty) to UTF-8.
cdcmtk_status cdcmtk_utf8(
    const char *character_set, const uint8_t *text, size_t length, const char *delimiters, cdcmtk_bytes *utf8);

// Inflates RFC 1951 bytes; CDCMTK_TOO_LARGE when more than `limit` come out, CDCMTK_CORRUPT when they end early.
cdcmtk_status cdcmtk_inflate(const uint8_t *deflated, size_t length, size_t limit, cdcmtk_bytes *inflated);

// ---- Codecs.

// One frame as the Image Pixel Module describes it. `bits_allocated` must be that of the compressed samples: 8 up to 8
// bits of precision, else 16.
typedef struct {
    uint16_t rows;
    uint16_t columns;
    uint16_t samples_per_pixel;
    uint16_t bits_allocated;
    uint16_t bits_stored;
    uint16_t is_signed;
    // RGB, MONOCHROME2, PALETTE COLOR as they are; YBR_FULL and YBR_FULL_422 become RGB where the codec is DCT-based.
    const char *photometric_interpretation;
} cdcmtk_frame_layout;

// Decodes one frame of a JPEG or JPEG-LS transfer syntax: colour by pixel, samples in little endian. `decoded_length`
// must be rows * columns * samples * bytes.
cdcmtk_status cdcmtk_decode_frame(
    const char *transfer_syntax_uid, const cdcmtk_frame_layout *layout, const uint8_t *compressed, size_t length,
    uint8_t *decoded, size_t decoded_length);

#ifdef __cplusplus
}
#endif
