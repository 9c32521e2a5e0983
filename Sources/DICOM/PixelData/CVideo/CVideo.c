// SPDX-License-Identifier: Apache-2.0
#include "CVideo.h"
#include "Colours.h"
#include "Libraries.h"

#include <stdlib.h>
#include <string.h>

// Containers and codecs of PS3.5 8.2.5 to 8.2.13. No other parser of the libraries sees the bytes.
#define CONTAINERS "mpegvideo,mpeg,mpegts,h264,hevc,mov"
#define CODECS "mpeg1video,mpeg2video,h264,hevc"
enum {
    BUFFER = 1 << 16,
    // Rows and columns that a decoder may have beside the image: blocks that are not whole, edges and its own planes.
    MARGIN = 512,
    MOST_STREAMS = 32,
    // Pictures of a bare stream that are decoded for its rate.
    FIRST_PICTURES = 32,
};

struct cvideo_clip {
    const cvideo_functions *av;
    cvideo_piece *pieces;
    size_t count;
    int64_t length, position;
    int rows, columns;
    AVFormatContext *format;
    AVIOContext *io;
    AVCodecContext *codec;
    AVPacket *packet;
    AVFrame *frame;
    int stream, is_drained;
};

// ---- The bytes of the pieces, as one file.

static int read_bytes(void *context, uint8_t *to, int count) {
    cvideo_clip *clip = context;
    int64_t start = 0;
    int done = 0;
    for (size_t i = 0; i < clip->count && done < count; i++) {
        const int64_t end = start + (int64_t)clip->pieces[i].count;
        if (clip->position < end) {
            int64_t part = end - clip->position;
            if (part > count - done) part = count - done;
            memcpy(to + done, clip->pieces[i].bytes + (clip->position - start), (size_t)part);
            done += (int)part;
            clip->position += part;
        }
        start = end;
    }
    return done > 0 ? done : AVERROR_EOF;
}

static int64_t seek_bytes(void *context, int64_t offset, int whence) {
    cvideo_clip *clip = context;
    int64_t from = 0;
    switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE: return clip->length;
    case SEEK_SET: break;
    case SEEK_CUR: from = clip->position; break;
    case SEEK_END: from = clip->length; break;
    default: return -1;
    }
    if (offset < -from || offset > clip->length - from) return -1;
    return clip->position = from + offset;
}

// ---- Opening

static cvideo_status open_container(cvideo_clip *clip) {
    const cvideo_functions *av = clip->av;
    unsigned char *buffer = av->av_malloc(BUFFER);
    if (buffer == NULL) return CVIDEO_NO_MEMORY;
    clip->io = av->avio_alloc_context(buffer, BUFFER, 0, clip, read_bytes, NULL, seek_bytes);
    if (clip->io == NULL) {
        av->av_free(buffer);
        return CVIDEO_NO_MEMORY;
    }
    clip->format = av->avformat_alloc_context();
    if (clip->format == NULL) return CVIDEO_NO_MEMORY;
    clip->format->pb = clip->io;
    clip->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    clip->format->max_streams = MOST_STREAMS;
    AVDictionary *options = NULL;
    av->av_dict_set(&options, "format_whitelist", CONTAINERS, 0);
    av->av_dict_set(&options, "codec_whitelist", CODECS, 0);
    av->av_dict_set(&options, "protocol_whitelist", "none", 0);
    // An edit list would leave frames out, and Number of Frames counts them.
    av->av_dict_set(&options, "ignore_editlist", "1", 0);
    // On failure this function frees the context, and sets it to NULL.
    const int opened = av->avformat_open_input(&clip->format, NULL, NULL, &options);
    av->av_dict_free(&options);
    if (opened < 0) return CVIDEO_CORRUPT;
    if (av->avformat_find_stream_info(clip->format, NULL) < 0) return CVIDEO_CORRUPT;
    clip->stream = av->av_find_best_stream(clip->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (clip->stream < 0) return CVIDEO_CORRUPT;
    for (unsigned i = 0; i < clip->format->nb_streams; i++)
        if ((int)i != clip->stream) clip->format->streams[i]->discard = AVDISCARD_ALL;
    return CVIDEO_OK;
}

static cvideo_status open_decoder(cvideo_clip *clip) {
    const cvideo_functions *av = clip->av;
    const AVStream *stream = clip->format->streams[clip->stream];
    const AVCodecParameters *parameters = stream->codecpar;
    switch (parameters->codec_id) {
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
    case AV_CODEC_ID_H264:
    case AV_CODEC_ID_HEVC: break;
    default: return CVIDEO_UNSUPPORTED;
    }
    if (parameters->width != clip->columns || parameters->height != clip->rows) return CVIDEO_OTHER_SIZE;
    const AVCodec *decoder = av->avcodec_find_decoder(parameters->codec_id);
    if (decoder == NULL) return CVIDEO_UNSUPPORTED;
    clip->codec = av->avcodec_alloc_context3(decoder);
    clip->packet = av->av_packet_alloc();
    clip->frame = av->av_frame_alloc();
    if (clip->codec == NULL || clip->packet == NULL || clip->frame == NULL) return CVIDEO_NO_MEMORY;
    if (av->avcodec_parameters_to_context(clip->codec, parameters) < 0) return CVIDEO_CORRUPT;
    clip->codec->pkt_timebase = stream->time_base;
    clip->codec->thread_count = 1;
    clip->codec->max_pixels = ((int64_t)clip->rows + MARGIN) * ((int64_t)clip->columns + MARGIN);
    // Damaged frames are counted, too: the numbers of the others must not change.
    clip->codec->flags |= AV_CODEC_FLAG_OUTPUT_CORRUPT;
    return av->avcodec_open2(clip->codec, decoder, NULL) < 0 ? CVIDEO_CORRUPT : CVIDEO_OK;
}

cvideo_status cvideo_open(const cvideo_piece *pieces, size_t count, int rows, int columns, cvideo_clip **clip) {
    *clip = NULL;
    const cvideo_functions *av = cvideo_load();
    if (av == NULL) return CVIDEO_MISSING;
    cvideo_clip *made = calloc(1, sizeof *made);
    if (made == NULL) return CVIDEO_NO_MEMORY;
    made->av = av;
    made->rows = rows;
    made->columns = columns;
    made->count = count;
    made->pieces = malloc((count + 1) * sizeof *pieces);
    cvideo_status status = made->pieces == NULL ? CVIDEO_NO_MEMORY : CVIDEO_OK;
    if (status == CVIDEO_OK) {
        memcpy(made->pieces, pieces, count * sizeof *pieces);
        for (size_t i = 0; i < count; i++) made->length += (int64_t)pieces[i].count;
        status = open_container(made);
    }
    if (status == CVIDEO_OK) status = open_decoder(made);
    if (status == CVIDEO_OK) *clip = made;
    else cvideo_close(made);
    return status;
}

void cvideo_close(cvideo_clip *clip) {
    if (clip == NULL) return;
    const cvideo_functions *av = clip->av;
    av->av_frame_free(&clip->frame);
    av->av_packet_free(&clip->packet);
    av->avcodec_free_context(&clip->codec);
    av->avformat_close_input(&clip->format);
    if (clip->io != NULL) {
        av->av_free(clip->io->buffer);
        av->avio_context_free(&clip->io);
    }
    free(clip->pieces);
    free(clip);
}

// ---- Frames

// Reads the next packet of the video; 0 at the end.
static int read_packet(cvideo_clip *clip) {
    while (clip->av->av_read_frame(clip->format, clip->packet) >= 0) {
        if (clip->packet->stream_index == clip->stream) return 1;
        clip->av->av_packet_unref(clip->packet);
    }
    return 0;
}

cvideo_status cvideo_next(cvideo_clip *clip, uint8_t *rgb, int *damaged) {
    const cvideo_functions *av = clip->av;
    for (;;) {
        const int received = av->avcodec_receive_frame(clip->codec, clip->frame);
        if (received >= 0) break;
        if (received == AVERROR_EOF) return CVIDEO_END;
        if (clip->is_drained) return CVIDEO_END;
        if (read_packet(clip)) {
            // A packet that does not decode costs the frames in it only.
            av->avcodec_send_packet(clip->codec, clip->packet);
            av->av_packet_unref(clip->packet);
        } else {
            clip->is_drained = 1;
            av->avcodec_send_packet(clip->codec, NULL);
        }
    }
    *damaged = clip->frame->decode_error_flags != 0 || (clip->frame->flags & AV_FRAME_FLAG_CORRUPT) != 0;
    if (clip->frame->width != clip->columns || clip->frame->height != clip->rows) return CVIDEO_OTHER_SIZE;
    if (rgb == NULL) return CVIDEO_OK;
    return cvideo_convert(clip->frame, rgb) ? CVIDEO_OK : CVIDEO_UNSUPPORTED;
}

cvideo_status cvideo_examine(cvideo_clip *clip, cvideo_facts *facts) {
    const AVStream *stream = clip->format->streams[clip->stream];
    const char *container = clip->format->iformat->name;
    const int is_bare = strcmp(container, "h264") == 0 || strcmp(container, "hevc") == 0;
    *facts = (cvideo_facts){clip->rows, clip->columns, 0, 0};
    // A bare stream says its rate only in its own headers, which the decoder reads with the first frame.
    AVRational rate = stream->avg_frame_rate;
    while (read_packet(clip)) {
        facts->pictures++;
        if (is_bare && facts->pictures <= FIRST_PICTURES) {
            clip->av->avcodec_send_packet(clip->codec, clip->packet);
            while (clip->av->avcodec_receive_frame(clip->codec, clip->frame) >= 0) {}
        }
        clip->av->av_packet_unref(clip->packet);
    }
    if (is_bare) rate = clip->codec->framerate;
    if (rate.num > 0 && rate.den > 0) facts->frames_per_second = (double)rate.num / rate.den;
    return CVIDEO_OK;
}
