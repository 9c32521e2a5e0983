// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "Libraries.h"
#include "CVideo.h"

#include <dlfcn.h>
#include <pthread.h>

#define CVIDEO_TEXT(number) CVIDEO_QUOTED(number)
#define CVIDEO_QUOTED(number) #number
#define CVIDEO_LIBRARY "libavformat.so." CVIDEO_TEXT(LIBAVFORMAT_VERSION_MAJOR)

static cvideo_functions functions;
static const cvideo_functions *loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

// libavformat brings libavcodec and libavutil of its own version, and dlsym looks into these, too.
static void load(void) {
    void *library = dlopen(CVIDEO_LIBRARY, RTLD_LAZY | RTLD_LOCAL);
    if (library == NULL) return;
#define CVIDEO_FIND(name)                                                                                               \
    functions.name = (__typeof__(&name))dlsym(library, #name);                                                         \
    if (functions.name == NULL) return;
    CVIDEO_FUNCTIONS(CVIDEO_FIND)
#undef CVIDEO_FIND
    // Messages quote names and values of the file.
    functions.av_log_set_level(AV_LOG_QUIET);
    loaded = &functions;
}

const cvideo_functions *cvideo_load(void) {
    pthread_once(&once, load);
    return loaded;
}

const char *cvideo_library(void) { return CVIDEO_LIBRARY; }
