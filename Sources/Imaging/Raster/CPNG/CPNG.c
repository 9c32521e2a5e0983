// SPDX-License-Identifier: Apache-2.0
#include "CPNG.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const unsigned char *bytes;
    size_t left;
    jmp_buf escape;
    cpng_picture *picture;
    png_bytep *lines;
} reading;

static void give_up(png_structp png, png_const_charp text) {
    reading *r = png_get_error_ptr(png);
    snprintf(r->picture->message, CPNG_MESSAGE, "%s", text);
    longjmp(r->escape, 1);
}

// libpng warns about a wrong date or an odd profile, for instance. Such faults do not affect the samples.
static void pass_over(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void take(png_structp png, png_bytep to, size_t count) {
    reading *r = png_get_io_ptr(png);
    if (count > r->left) png_error(png, "the file ends too early");
    memcpy(to, r->bytes, count);
    r->bytes += count;
    r->left -= count;
}

static void decode(png_structp png, png_infop info, size_t most, reading *r) {
    cpng_picture *p = r->picture;
    png_set_read_fn(png, r, take);
    png_read_info(png, info);
    int kind = png_get_color_type(png, info);
    if (kind == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    if (kind == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_alpha(png);
    if (png_get_bit_depth(png, info) == 16) {
        const uint16_t probe = 1;
        if (*(const unsigned char *)&probe == 1) png_set_swap(png);
    }
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    size_t rows = png_get_image_height(png, info), line = png_get_rowbytes(png, info);
    if (line == 0 || rows == 0 || rows > most / line) png_error(png, "its size is zero or too large");
    p->rows = (int)rows;
    p->columns = (int)png_get_image_width(png, info);
    p->channels = png_get_channels(png, info);
    p->depth = png_get_bit_depth(png, info);
    if ((p->channels != 1 && p->channels != 3) || (p->depth != 8 && p->depth != 16)) png_error(png, "an odd format");
    p->samples = malloc(rows * line);
    r->lines = malloc(rows * sizeof *r->lines);
    if (p->samples == NULL || r->lines == NULL) png_error(png, "out of memory");
    for (size_t row = 0; row < rows; row++) r->lines[row] = (png_bytep)p->samples + row * line;
    png_read_image(png, r->lines);
    png_read_end(png, NULL);
}

int cpng_read(const unsigned char *bytes, size_t count, size_t most, cpng_picture *picture) {
    memset(picture, 0, sizeof *picture);
    // On the heap, because a local variable that changes between setjmp and longjmp may lose its value.
    reading *r = calloc(1, sizeof *r);
    png_structp png = r ? png_create_read_struct(PNG_LIBPNG_VER_STRING, r, give_up, pass_over) : NULL;
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (info == NULL) {
        snprintf(picture->message, CPNG_MESSAGE, "out of memory");
        png_destroy_read_struct(png ? &png : NULL, NULL, NULL);
        free(r);
        return 0;
    }
    r->bytes = bytes;
    r->left = count;
    r->picture = picture;
    int succeeded = setjmp(r->escape) == 0;
    if (succeeded) {
        decode(png, info, most, r);
    } else {
        free(picture->samples);
        picture->samples = NULL;
    }
    png_destroy_read_struct(&png, &info, NULL);
    free(r->lines);
    free(r);
    return succeeded;
}

typedef struct {
    unsigned char *bytes;
    size_t count, room;
    jmp_buf escape;
} writing;

static void stop(png_structp png, png_const_charp text) {
    (void)text;
    writing *w = png_get_error_ptr(png);
    longjmp(w->escape, 1);
}

static void put(png_structp png, png_bytep from, size_t count) {
    writing *w = png_get_io_ptr(png);
    if (w->room - w->count < count) {
        size_t room = 2 * w->room + count;
        unsigned char *bytes = realloc(w->bytes, room);
        if (bytes == NULL) png_error(png, "out of memory");
        w->bytes = bytes;
        w->room = room;
    }
    memcpy(w->bytes + w->count, from, count);
    w->count += count;
}

static void put_nothing(png_structp png) { (void)png; }

static void encode(png_structp png, png_infop info, const unsigned char *samples, int rows, int columns, int channels) {
    png_set_IHDR(png, info, (png_uint_32)columns, (png_uint_32)rows, 8,
                 channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_UP);
    png_set_compression_level(png, 1);
    png_set_compression_strategy(png, 3);  // Z_RLE
    png_write_info(png, info);
    size_t line = (size_t)columns * (size_t)channels;
    for (int row = 0; row < rows; row++) png_write_row(png, samples + (size_t)row * line);
    png_write_end(png, NULL);
}

unsigned char *cpng_write(const unsigned char *samples, int rows, int columns, int channels, size_t *count) {
    // On the heap, because a local variable that changes between setjmp and longjmp may lose its value.
    writing *w = calloc(1, sizeof *w);
    png_structp png = w ? png_create_write_struct(PNG_LIBPNG_VER_STRING, w, stop, pass_over) : NULL;
    png_infop info = png ? png_create_info_struct(png) : NULL;
    unsigned char *bytes = NULL;
    if (info != NULL && setjmp(w->escape) == 0) {
        png_set_write_fn(png, w, put, put_nothing);
        encode(png, info, samples, rows, columns, channels);
        bytes = w->bytes;
        *count = w->count;
    } else if (w != NULL) {
        free(w->bytes);
    }
    png_destroy_write_struct(png ? &png : NULL, info ? &info : NULL);
    free(w);
    return bytes;
}
