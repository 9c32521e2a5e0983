// SPDX-License-Identifier: Apache-2.0
#include "CJPEG.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

typedef struct {
    struct jpeg_error_mgr base;
    jmp_buf escape;
    char *message;
} failure;

static void give_up(j_common_ptr info) {
    failure *f = (failure *)info->err;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    snprintf(f->message, CJPEG_MESSAGE, "%s", text);
    longjmp(f->escape, 1);
}

// A warning (level -1) means damaged data, which libjpeg would fill with grey. Traces are dropped.
static void judge(j_common_ptr info, int level) {
    if (level < 0) give_up(info);
}

int cjpeg_read(const unsigned char *bytes, size_t count, size_t most, cjpeg_picture *picture) {
    struct jpeg_decompress_struct info;
    failure f;
    memset(picture, 0, sizeof *picture);
    info.err = jpeg_std_error(&f.base);
    f.base.error_exit = give_up;
    f.base.emit_message = judge;
    f.message = picture->message;
    if (setjmp(f.escape)) {
        jpeg_destroy_decompress(&info);
        free(picture->samples);
        picture->samples = NULL;
        return 0;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, bytes, count);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = info.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&info);
    size_t row = (size_t)info.output_width * (size_t)info.output_components;
    if (row == 0 || info.output_height > most / row) {
        snprintf(picture->message, CJPEG_MESSAGE, "%u x %u pixels are too many", info.output_width, info.output_height);
        longjmp(f.escape, 1);
    }
    picture->rows = (int)info.output_height;
    picture->columns = (int)info.output_width;
    picture->channels = info.output_components;
    picture->samples = malloc(row * info.output_height);
    if (picture->samples == NULL) {
        snprintf(picture->message, CJPEG_MESSAGE, "out of memory");
        longjmp(f.escape, 1);
    }
    while (info.output_scanline < info.output_height) {
        JSAMPROW line = picture->samples + row * info.output_scanline;
        jpeg_read_scanlines(&info, &line, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return 1;
}

int cjpeg_decode(const unsigned char *bytes, size_t count, int rows, int columns, int channels, int is_ybr,
                 unsigned char *samples, char *message) {
    struct jpeg_decompress_struct info;
    failure f;
    info.err = jpeg_std_error(&f.base);
    f.base.error_exit = give_up;
    f.base.emit_message = judge;
    f.message = message;
    if (setjmp(f.escape)) {
        jpeg_destroy_decompress(&info);
        return 0;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, bytes, count);
    jpeg_read_header(&info, TRUE);
    if ((int)info.image_width != columns || (int)info.image_height != rows || info.num_components != channels ||
        info.data_precision != 8) {
        snprintf(message, CJPEG_MESSAGE, "the stream has another size");
        longjmp(f.escape, 1);
    }
    info.jpeg_color_space = channels == 1 ? JCS_GRAYSCALE : is_ybr ? JCS_YCbCr : JCS_RGB;
    info.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    // The same inverse transform as in DCMTK's codec, so that both give the same samples.
    info.dct_method = JDCT_ISLOW;
    jpeg_start_decompress(&info);
    size_t row = (size_t)columns * (size_t)channels;
    while (info.output_scanline < info.output_height) {
        JSAMPROW line = samples + row * info.output_scanline;
        jpeg_read_scanlines(&info, &line, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return 1;
}
