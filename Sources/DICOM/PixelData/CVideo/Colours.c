// SPDX-License-Identifier: Apache-2.0
//
// YCbCr to RGB: ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance), ITU-T H.273 for ranges. Chroma samples are
// repeated, as FFmpeg's converter does by default.
#include "Colours.h"

#include <libavutil/pixfmt.h>

typedef struct {
    int across, down;  // shifts of the chroma planes
    int depth;         // bits of a sample
    int is_grey, is_full;
} format;

static int describe(int pixel_format, format *f) {
    *f = (format){1, 1, 8, 0, 0};
    switch (pixel_format) {
    case AV_PIX_FMT_YUVJ420P: f->is_full = 1; return 1;
    case AV_PIX_FMT_YUV420P: return 1;
    case AV_PIX_FMT_YUVJ422P: f->is_full = 1; f->down = 0; return 1;
    case AV_PIX_FMT_YUV422P: f->down = 0; return 1;
    case AV_PIX_FMT_YUVJ444P: f->is_full = 1; f->across = f->down = 0; return 1;
    case AV_PIX_FMT_YUV444P: f->across = f->down = 0; return 1;
    case AV_PIX_FMT_YUV420P10LE: f->depth = 10; return 1;
    case AV_PIX_FMT_YUV422P10LE: f->depth = 10; f->down = 0; return 1;
    case AV_PIX_FMT_YUV444P10LE: f->depth = 10; f->across = f->down = 0; return 1;
    case AV_PIX_FMT_YUV420P12LE: f->depth = 12; return 1;
    case AV_PIX_FMT_GRAY8: f->is_grey = 1; return 1;
    case AV_PIX_FMT_GRAY10LE: f->is_grey = 1; f->depth = 10; return 1;
    default: return 0;
    }
}

// The weights of red and blue in luma. A clip that does not say its matrix has that of its size, as players assume.
static void weights(const AVFrame *frame, double *red, double *blue) {
    int is_hd = frame->colorspace == AVCOL_SPC_UNSPECIFIED && frame->height >= 720;
    *red = 0.299, *blue = 0.114;
    if (frame->colorspace == AVCOL_SPC_BT709 || is_hd) *red = 0.2126, *blue = 0.0722;
    if (frame->colorspace == AVCOL_SPC_BT2020_NCL) *red = 0.2627, *blue = 0.0593;
}

static inline int sample(const uint8_t *line, int x, int depth) {
    return depth == 8 ? line[x] : line[2 * x] | line[2 * x + 1] << 8;
}

static inline uint8_t limited(int value) {
    value = (value + (1 << 15)) >> 16;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

int cvideo_convert(const AVFrame *frame, uint8_t *rgb) {
    format f;
    if (!describe(frame->format, &f)) return 0;
    f.is_full |= frame->color_range == AVCOL_RANGE_JPEG;
    double red, blue;
    weights(frame, &red, &blue);
    const double green = 1 - red - blue;
    // One step of a sample in steps of 8 bits, times 2^16.
    const double step = 65536.0 / (1 << (f.depth - 8));
    const double luma_step = f.is_full ? step * 255 / (256 - 1.0 / (1 << (f.depth - 8))) : step * 255 / 219;
    const double chroma_step = f.is_full ? luma_step : step * 255 / 224;
    const int y_factor = (int)((f.is_full && f.depth == 8 ? step : luma_step) + 0.5);
    const double c = f.is_full && f.depth == 8 ? step : chroma_step;
    const int cr_red = (int)(c * 2 * (1 - red) + 0.5);
    const int cb_blue = (int)(c * 2 * (1 - blue) + 0.5);
    const int cr_green = (int)(c * 2 * (1 - red) * red / green + 0.5);
    const int cb_green = (int)(c * 2 * (1 - blue) * blue / green + 0.5);
    const int black = f.is_full ? 0 : 16 << (f.depth - 8);
    const int middle = 128 << (f.depth - 8);
    for (int row = 0; row < frame->height; row++) {
        const uint8_t *y = frame->data[0] + (ptrdiff_t)row * frame->linesize[0];
        const uint8_t *u = NULL, *v = NULL;
        if (!f.is_grey) {
            u = frame->data[1] + (ptrdiff_t)(row >> f.down) * frame->linesize[1];
            v = frame->data[2] + (ptrdiff_t)(row >> f.down) * frame->linesize[2];
        }
        uint8_t *out = rgb + (size_t)row * (size_t)frame->width * 3;
        for (int x = 0; x < frame->width; x++, out += 3) {
            const int luma = (sample(y, x, f.depth) - black) * y_factor;
            const int cb = f.is_grey ? 0 : sample(u, x >> f.across, f.depth) - middle;
            const int cr = f.is_grey ? 0 : sample(v, x >> f.across, f.depth) - middle;
            out[0] = limited(luma + cr_red * cr);
            out[1] = limited(luma - cb_green * cb - cr_green * cr);
            out[2] = limited(luma + cb_blue * cb);
        }
    }
    return 1;
}
