// SPDX-License-Identifier: Apache-2.0
//
// The functions of FFmpeg that CVideo calls.
#pragma once

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/dict.h>
#include <libavutil/pixdesc.h>

#define CVIDEO_FUNCTIONS(F)                                                                                             \
    F(av_dict_free) F(av_dict_set) F(av_find_best_stream) F(av_frame_alloc) F(av_frame_free) F(av_free)                \
    F(av_log_set_level) F(av_malloc) F(av_packet_alloc) F(av_packet_free) F(av_packet_unref) F(av_read_frame)          \
    F(avcodec_alloc_context3) F(avcodec_find_decoder) F(avcodec_free_context) F(avcodec_open2)                         \
    F(avcodec_parameters_to_context) F(avcodec_receive_frame) F(avcodec_send_packet) F(avformat_alloc_context)         \
    F(avformat_close_input) F(avformat_find_stream_info) F(avformat_free_context) F(avformat_open_input)               \
    F(avio_alloc_context) F(avio_context_free)

#define CVIDEO_MEMBER(name) __typeof__(&name) name;
typedef struct {
    CVIDEO_FUNCTIONS(CVIDEO_MEMBER)
} cvideo_functions;
#undef CVIDEO_MEMBER

// The functions; NULL if the libraries are not installed. The first call loads them.
const cvideo_functions *cvideo_load(void);
