// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "../Parallel.h"
#include "../Transformer/Transformer.h"


#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#define LANES 16
#define ROWS 14
#include "../Transformer/Vector.h"
#include "../Transformer/Tile.h"
#include "Passes.h"
#pragma clang attribute pop

ck_status ck_pass_avx512(const ck_pass *pass) { return run_pass(pass); }
#endif
