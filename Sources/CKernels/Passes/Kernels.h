// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "CKernels.h"

// `ck_pass` for one instruction set.
ck_status ck_pass_avx2(const ck_pass *pass);
ck_status ck_pass_avx512(const ck_pass *pass);
ck_status ck_pass_emulated_avx512(const ck_pass *pass);
