// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>

// Compiles a function for AVX2 as well; the loader chooses one version when the program starts. The compiler may
// contract products and sums to fused multiply-adds, because equal bits are promised for one machine only.
#if defined(__x86_64__)
#define CK_VECTORISED __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define CK_VECTORISED
#endif

typedef void (*ck_body)(void *context, int64_t first, int64_t last);

// Multiply-adds that a thread does while another one wakes, and numbers that it handles one after the other.
enum { ck_few_products = 1 << 20, ck_few_numbers = 1 << 14 };

// Runs `body` over [0, count), one contiguous piece per thread of the OpenMP team that oneDNN also uses.
void ck_parallel(int64_t count, ck_body body, void *context);

// Runs as `ck_parallel`, but on the calling thread alone if all items together handle few numbers, because waking
// another thread would take longer.
void ck_parallel_numbers(int64_t count, int64_t numbers, ck_body body, void *context);

typedef void (*ck_item)(void *context, int64_t item);

// Runs the items [0, count), each on the next free thread.
void ck_share(int64_t count, ck_item item, void *context);

// Sets the fixed number of threads for the calling thread, because OpenMP remembers it per thread. Call it before
// oneDNN runs.
void ck_use_fixed_threads(void);

// Rounds to the nearest bf16 on the calling thread, as `ck_to_bf16`.
void ck_round_range(const float *restrict input, uint16_t *restrict output, int64_t count);
