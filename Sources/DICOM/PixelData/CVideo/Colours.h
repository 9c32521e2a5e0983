// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libavutil/frame.h>
#include <stdint.h>

// Converts a frame of planar YCbCr, or grey, of 8 to 12 bits to RGB of 8 bits, [rows, columns, 3]. Returns 0 for another
// pixel format.
int cvideo_convert(const AVFrame *frame, uint8_t *rgb);
