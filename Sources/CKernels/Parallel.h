// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>

// Compiled for AVX2 machines too, chosen when the program is loaded. Contraction to fused multiply-adds is allowed: the
// promise of equal bits holds on one machine.
#if defined(__x86_64__)
#define CK_VECTORISED __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define CK_VECTORISED
#endif

typedef void (*ck_body)(void *context, int64_t first, int64_t last);

// Runs body over [0, count) in one contiguous piece per thread of OpenMP's team, the one that oneDNN uses.
void ck_parallel(int64_t count, ck_body body, void *context);

typedef void (*ck_item)(void *context, int64_t item);

// Runs the items [0, count), each on the thread that is free next.
void ck_share(int64_t count, ck_item item, void *context);

// OpenMP remembers the number of threads for each calling thread: before oneDNN runs, this makes it the fixed one.
void ck_use_fixed_threads(void);
