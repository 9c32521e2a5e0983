// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "CKernels.h"

// `ck_pass_tokens` for one instruction set. The caller has checked the arguments.
ck_status ck_pass_avx2(const ck_pass *pass);
ck_status ck_pass_avx512(const ck_pass *pass);
ck_status ck_pass_emulated_avx512(const ck_pass *pass);
