// SPDX-License-Identifier: Apache-2.0
//
// The public functions of the transformer kernels: they choose the path and check the arguments for it.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "../Parallel.h"
#include "Transformer.h"

static const char *const names[ck_path_count] = {
    "plain", "avx2", "avx512", "avx512-bf16", "amx", "emulated-avx512", "emulated-avx512-bf16", "emulated-amx"};

static const ck_kernels *const kernels[ck_path_count] = {
    [ck_path_plain] = &ck_plain_kernels,
#if defined(__x86_64__)
    [ck_path_avx2] = &ck_avx2_kernels,
    [ck_path_avx512] = &ck_avx512_kernels,
    [ck_path_avx512_bf16] = &ck_avx512_bf16_kernels,
    [ck_path_amx] = &ck_amx_kernels,
    [ck_path_emulated_avx512] = &ck_emulated_avx512_kernels,
    [ck_path_emulated_avx512_bf16] = &ck_emulated_avx512_bf16_kernels,
    [ck_path_emulated_amx] = &ck_emulated_amx_kernels,
#endif
};

// The hardware paths, the best one first.
static const ck_path by_rank[] = {ck_path_amx, ck_path_avx512_bf16, ck_path_avx512, ck_path_avx2, ck_path_plain};

#if defined(__x86_64__) && defined(__linux__)
// Linux grants the tile registers on request. Without the request, the first tile instruction of a process traps.
static int may_use_tiles(void) {
    enum { request_permission = 0x1023, tile_data = 18 };
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#else
static int may_use_tiles(void) { return 0; }
#endif

static int processor_can(ck_path path) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    int bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
    switch (path) {
    case ck_path_plain: return 1;
    case ck_path_avx512: return avx512;
    case ck_path_avx512_bf16: return bf16;
    case ck_path_amx:
        return bf16 && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") && may_use_tiles();
    default: return avx2;
    }
#else
    return path == ck_path_plain;
#endif
}

static int chosen = 0;
static ck_path current = ck_path_plain;
static char warning[160] = "";

const char *ck_path_name(ck_path path) { return (unsigned)path < ck_path_count ? names[path] : NULL; }

int ck_path_available(ck_path path) {
    return (unsigned)path < ck_path_count && kernels[path] != NULL && processor_can(path);
}

int ck_path_has_bf16(ck_path path) { return path == ck_path_avx512_bf16 || path == ck_path_amx; }

// Whether a path agrees with the plain one. The comparison runs once per process, when the path is first chosen.
static int is_right(ck_path path) {
    static enum { unknown, right, wrong } verdicts[ck_path_count];
    if (path == ck_path_plain) return 1;
    if (verdicts[path] == unknown) verdicts[path] = ck_agrees_with_plain(kernels[path]) ? right : wrong;
    return verdicts[path] == right;
}

ck_status ck_choose_path(ck_path path) {
    if (!ck_path_available(path)) return ck_unsupported;
    chosen = 1;
    current = path;
    warning[0] = 0;
    if (is_right(path)) return ck_ok;
    for (size_t i = 0; i < sizeof by_rank / sizeof *by_rank; i++)
        if (by_rank[i] < path && ck_path_available(by_rank[i]) && is_right(by_rank[i])) {
            current = by_rank[i];
            break;
        }
    snprintf(warning, sizeof warning, "the %s kernels disagree with the plain ones on this processor: %s ones are used",
             names[path], names[current]);
    return ck_ok;
}

ck_path ck_current_path(void) {
    for (size_t i = 0; !chosen; i++)
        if (ck_path_available(by_rank[i])) ck_choose_path(by_rank[i]);
    return current;
}

const ck_kernels *ck_current_kernels(void) { return kernels[ck_current_path()]; }

const char *ck_path_warning(void) { return warning; }

// Scratch -------------------------------------------------------------------------------------------------------------

// Allocates memory that is aligned to 64 bytes. A large block is aligned to huge pages and requests them.
static void *allocate(size_t bytes) {
    const size_t huge = 2 << 20, page = bytes < huge ? 64 : huge;
    size_t size = (bytes + page - 1) / page * page;
    void *memory = aligned_alloc(page, size);
#if defined(__linux__)
    if (memory && page == huge) madvise(memory, size, MADV_HUGEPAGE);
#endif
    return memory;
}

void *ck_scratch(int slot, size_t bytes) {
    static _Thread_local struct {
        void *memory;
        size_t size;
    } slots[ck_scratch_slots];
    if (slots[slot].size < bytes) {
        free(slots[slot].memory);
        slots[slot].memory = allocate(bytes);
        slots[slot].size = slots[slot].memory ? bytes : 0;
    }
    return slots[slot].memory;
}

// Matrices ------------------------------------------------------------------------------------------------------------

ck_status ck_matrix_create(int64_t n, int64_t k, const float *weight, const float *bias, ck_precision precision,
                           ck_matrix **matrix) {
    return ck_matrix_create_for(ck_current_kernels(), n, k, weight, bias, precision, matrix);
}

ck_status ck_matrix_create_for(const ck_kernels *of, int64_t n, int64_t k, const float *weight, const float *bias,
                               ck_precision precision, ck_matrix **matrix) {
    *matrix = NULL;
    if (n < 1 || k < 1 || n > INT32_MAX || k > INT32_MAX || weight == NULL) return ck_bad_argument;
    ck_matrix *made = calloc(1, sizeof *made);
    if (made == NULL) return ck_out_of_memory;
    *made = (ck_matrix){of, n, k, precision, NULL, NULL};
    size_t padded = (size_t)(n + 63) / 64 * 64 * sizeof(float);
    made->bias = allocate(padded);
    made->packed = allocate(made->kernels->packed_size(made));
    if (made->bias == NULL || made->packed == NULL) {
        ck_matrix_destroy(made);
        return ck_out_of_memory;
    }
    memset(made->bias, 0, padded);
    if (bias) memcpy(made->bias, bias, (size_t)n * sizeof *bias);
    made->kernels->pack(made, weight);
    *matrix = made;
    return ck_ok;
}

void ck_matrix_destroy(ck_matrix *matrix) {
    if (matrix == NULL) return;
    free(matrix->bias);
    free(matrix->packed);
    free(matrix);
}

ck_status ck_matrix_multiply(const ck_matrix *matrix, const ck_multiplication *m) {
    if (m->rows < 0 || m->input_stride < matrix->k || m->output_stride < matrix->n) return ck_bad_argument;
    if (m->residual && m->residual == m->output && (m->output_form == ck_bf16 || m->residual_stride != m->output_stride))
        return ck_bad_argument;
    if (m->rows == 0) return ck_ok;
    return matrix->kernels->multiply(matrix, m);
}

static int64_t windows(int64_t extent, int64_t window) { return (extent + window - 1) / window; }

ck_status ck_attend(const ck_self_attention *a) {
    if (a->batch < 0 || a->height < 1 || a->width < 1 || a->window < 0 || a->heads < 1) return ck_bad_argument;
    if (a->head_size < 1 || a->head_size > 256 || !(a->scale > 0)) return ck_bad_argument;
    if (a->batch == 0) return ck_ok;
    if ((a->rel_height == NULL) != (a->rel_width == NULL)) return ck_bad_argument;
    int divides = a->window == 0 || (a->height % a->window == 0 && a->width % a->window == 0);
    if (!divides && a->padding == NULL) return ck_bad_argument;
    if ((a->key == NULL) != (a->value == NULL)) return ck_bad_argument;
    if (a->value_size < 0 || a->value_size > 256) return ck_bad_argument;
    if (a->value_size && (a->value == NULL || a->padding)) return ck_bad_argument;
    if (a->qkv == NULL && (a->query == NULL || a->key == NULL)) return ck_bad_argument;
    if (a->query) {
        if (a->query_height < 1 || a->query_width < 1 || a->query_window < 0) return ck_bad_argument;
        if (a->rel_height || a->bias || (a->window == 0) != (a->query_window == 0)) return ck_bad_argument;
        if (a->window && (windows(a->height, a->window) != windows(a->query_height, a->query_window) ||
                          windows(a->width, a->window) != windows(a->query_width, a->query_window)))
            return ck_bad_argument;
    }
    return ck_current_kernels()->attend(a);
}
