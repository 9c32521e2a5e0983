// SPDX-License-Identifier: Apache-2.0
//
// What the paths of the transformer kernels share: a matrix, and the table of functions that a path is.
#pragma once

#include "CKernels.h"

struct ck_matrix {
    const struct ck_kernels *kernels;  // of the path that packed it
    int64_t n, k;
    ck_precision precision;
    float *bias;  // [n rounded up to 64], zeros where there is none
    void *packed;  // as the path likes it, aligned to 64 bytes
};

typedef struct ck_kernels {
    // Bytes of `packed`, and how to fill it from weight [n, k].
    size_t (*packed_size)(const ck_matrix *matrix);
    void (*pack)(const ck_matrix *matrix, const float *weight);
    ck_status (*multiply)(const ck_matrix *matrix, const ck_multiplication *m);
    ck_status (*attend)(const ck_self_attention *a);
    // Single rows: GELU in place; a layer norm; output[v * step] = x . vectors[v, :].
    void (*gelu)(int64_t count, float *x);
    void (*norm)(int64_t channels, const float *x, const float *weight, const float *bias, float epsilon, void *output,
                 ck_precision form);
    void (*dot)(int64_t k, int64_t count, const float *x, const float *vectors, float *output, int64_t step);
    // Multiply-adds on registers alone; returns the operations done.
    double (*bare)(int64_t rounds, ck_precision precision);
} ck_kernels;

extern const ck_kernels ck_plain_kernels;
#if defined(__x86_64__)
extern const ck_kernels ck_avx2_kernels, ck_avx512_kernels, ck_avx512_bf16_kernels, ck_amx_kernels;
extern const ck_kernels ck_emulated_avx512_kernels, ck_emulated_avx512_bf16_kernels, ck_emulated_amx_kernels;
#endif

// Those of the current path.
const ck_kernels *ck_current_kernels(void);

// `ck_matrix_create` for kernels that need not be those of the current path.
ck_status ck_matrix_create_for(const ck_kernels *kernels, int64_t n, int64_t k, const float *weight, const float *bias,
                               ck_precision precision, ck_matrix **matrix);

// 1 when the kernels compute what the plain ones do.
int ck_agrees_with_plain(const ck_kernels *kernels);

// Memory of the calling thread that is kept and grows as needed, aligned to 64 bytes; NULL when there is none left.
// Every slot is a buffer of its own; what it held is lost when it grows.
enum { ck_scratch_slots = 4 };
void *ck_scratch(int slot, size_t bytes);
