// SPDX-License-Identifier: Apache-2.0
//
// Decodes MPEG-2, H.264 and HEVC video from memory with FFmpeg's libavformat and libavcodec.
//
// The libraries are loaded when the first clip is opened, not when the process starts: they bring 109 libraries and
// 25 MB, which only a worker with a video needs. Their version is that of the headers that this code was built with.
//
// Ownership. The caller keeps the bytes of a clip until it has closed the clip. One clip belongs to one thread at a time.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    CVIDEO_OK = 0,
    CVIDEO_END = 1,          // there is no further frame
    CVIDEO_MISSING = 2,      // the libraries are not installed
    CVIDEO_CORRUPT = 3,      // bytes without a clip that can be decoded
    CVIDEO_UNSUPPORTED = 4,  // another codec or pixel format
    CVIDEO_OTHER_SIZE = 5,   // the frames do not have the size that the caller expects
    CVIDEO_NO_MEMORY = 6,
} cvideo_status;

// A run of bytes of the clip.
typedef struct {
    const uint8_t *bytes;
    size_t count;
} cvideo_piece;

typedef struct {
    int rows, columns;         // of a frame
    double frames_per_second;  // 0 if the clip does not say it
    int64_t pictures;          // coded pictures: frames, or fields that come apart
} cvideo_facts;

typedef struct cvideo_clip cvideo_clip;

// The name of the library that is loaded, such as `libavformat.so.59`.
const char *cvideo_library(void);

// Opens an elementary stream, a program or transport stream or an MP4 file whose bytes are these pieces in order.
//
// Frames that do not have `rows` and `columns` are refused before memory is reserved for them. One thread decodes.
cvideo_status cvideo_open(
    const cvideo_piece *pieces, size_t count, int rows, int columns, cvideo_clip **clip);

// Reads the rate of the clip, and counts its coded pictures without decoding them. The clip must not have been decoded.
// Afterwards, the clip can only be closed.
cvideo_status cvideo_examine(cvideo_clip *clip, cvideo_facts *facts);

// Decodes the next frame in the order of display.
//
// `rgb` is [rows, columns, 3], 0...255; NULL for a frame that is passed over. `damaged` gets 1 if the decoder concealed
// errors.
cvideo_status cvideo_next(cvideo_clip *clip, uint8_t *rgb, int *damaged);

void cvideo_close(cvideo_clip *clip);

#ifdef __cplusplus
}
#endif
