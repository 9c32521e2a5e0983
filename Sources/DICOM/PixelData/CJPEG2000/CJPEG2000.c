// SPDX-License-Identifier: Apache-2.0
#include "CJPEG2000.h"

#include <stdio.h>
#include <string.h>

#include <openjpeg-2.5/openjpeg.h>

// The bytes of a codestream, and how far OpenJPEG has read them.
typedef struct {
    const uint8_t *bytes;
    size_t count, position;
} source;

static OPJ_SIZE_T read_source(void *to, OPJ_SIZE_T count, void *context) {
    source *s = context;
    size_t left = s->count - s->position;
    if (left == 0) return (OPJ_SIZE_T)-1;
    if (count > left) count = left;
    memcpy(to, s->bytes + s->position, count);
    s->position += count;
    return count;
}

static OPJ_OFF_T skip_source(OPJ_OFF_T count, void *context) {
    source *s = context;
    if (count < 0) return -1;
    size_t left = s->count - s->position;
    size_t skipped = (uint64_t)count > left ? left : (size_t)count;
    s->position += skipped;
    return count > 0 && skipped == 0 ? -1 : (OPJ_OFF_T)skipped;
}

static OPJ_BOOL seek_source(OPJ_OFF_T position, void *context) {
    source *s = context;
    if (position < 0 || (uint64_t)position > s->count) return OPJ_FALSE;
    s->position = (size_t)position;
    return OPJ_TRUE;
}

// Keeps the first message: later ones follow from it.
static void keep(const char *text, void *context) {
    char *message = context;
    if (message[0] != 0) return;
    snprintf(message, CJPEG2000_MESSAGE, "%s", text);
    message[strcspn(message, "\r\n")] = 0;
}

static void ignore(const char *text, void *context) {
    (void)text;
    (void)context;
}

// Copies the samples of one component, and repeats them if the component is subsampled.
static int copy_component(
    const opj_image_comp_t *component, uint32_t rows, uint32_t columns, uint32_t stride, uint16_t *to) {
    if (component->data == NULL || component->dx == 0 || component->dy == 0 || component->w == 0 || component->h == 0)
        return 0;
    if ((columns - 1) / component->dx > component->w || (rows - 1) / component->dy > component->h) return 0;
    for (uint32_t y = 0; y < rows; y++) {
        uint32_t from = y / component->dy < component->h ? y / component->dy : component->h - 1;
        const OPJ_INT32 *line = component->data + (size_t)from * component->w;
        uint16_t *out = to + (size_t)y * columns * stride;
        if (component->dx == 1 && component->w == columns) {
            for (uint32_t x = 0; x < columns; x++) out[(size_t)x * stride] = (uint16_t)line[x];
        } else {
            for (uint32_t x = 0; x < columns; x++) {
                uint32_t place = x / component->dx < component->w ? x / component->dx : component->w - 1;
                out[(size_t)x * stride] = (uint16_t)line[place];
            }
        }
    }
    return 1;
}

static cjpeg2000_status run(
    opj_codec_t *codec, opj_stream_t *stream, opj_image_t **image, uint32_t rows, uint32_t columns, uint32_t components,
    int lenient, uint16_t *decoded) {
    opj_dparameters_t parameters;
    opj_set_default_decoder_parameters(&parameters);
    if (!opj_setup_decoder(codec, &parameters) || !opj_decoder_set_strict_mode(codec, lenient ? OPJ_FALSE : OPJ_TRUE) ||
        !opj_codec_set_threads(codec, 1) || !opj_read_header(stream, codec, image))
        return CJPEG2000_CORRUPT;
    opj_image_t *i = *image;
    if (i->numcomps != components || i->x1 - i->x0 != columns || i->y1 - i->y0 != rows) return CJPEG2000_OTHER_SIZE;
    if (!opj_decode(codec, stream, i)) return CJPEG2000_CORRUPT;
    // The last marker may be missing, and what comes after the last tile does not change the image.
    opj_end_decompress(codec, stream);
    for (uint32_t c = 0; c < components; c++)
        if (!copy_component(&i->comps[c], rows, columns, components, decoded + c)) return CJPEG2000_CORRUPT;
    return CJPEG2000_OK;
}

cjpeg2000_status cjpeg2000_decode(
    const uint8_t *bytes, size_t count, uint32_t rows, uint32_t columns, uint32_t components, int lenient,
    uint16_t *decoded, char *message) {
    source s = {bytes, count, 0};
    message[0] = 0;
    cjpeg2000_status status = CJPEG2000_CORRUPT;
    opj_image_t *image = NULL;
    opj_codec_t *codec = opj_create_decompress(OPJ_CODEC_J2K);
    opj_stream_t *stream = opj_stream_create(1 << 16, OPJ_TRUE);
    if (codec != NULL && stream != NULL && rows > 0 && columns > 0) {
        opj_set_error_handler(codec, keep, message);
        opj_set_warning_handler(codec, ignore, NULL);
        opj_set_info_handler(codec, ignore, NULL);
        opj_stream_set_user_data(stream, &s, NULL);
        opj_stream_set_user_data_length(stream, count);
        opj_stream_set_read_function(stream, read_source);
        opj_stream_set_skip_function(stream, skip_source);
        opj_stream_set_seek_function(stream, seek_source);
        status = run(codec, stream, &image, rows, columns, components, lenient, decoded);
    }
    if (image != NULL) opj_image_destroy(image);
    if (stream != NULL) opj_stream_destroy(stream);
    if (codec != NULL) opj_destroy_codec(codec);
    return status;
}
