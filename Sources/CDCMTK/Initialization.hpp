// SPDX-License-Identifier: Apache-2.0
//
// Helpers that every function of CDCMTK.h uses: statuses, reasons, and the wall against exceptions.
#pragma once

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"

#include "include/CDCMTKDataSet.h"

#include <new>

namespace cdcmtk {

// Stores the text that cdcmtk_last_error returns, and returns the status.
cdcmtk_status fail(cdcmtk_status status, const char *words);

// The status for a condition of DCMTK, whose text is constant and does not quote values.
cdcmtk_status status(const OFCondition &condition, cdcmtk_status otherwise);

// Runs `body`, and turns an exception into a status.
template <class Body> cdcmtk_status guarded(Body body) noexcept {
    try {
        cdcmtk_initialize();
        return body();
    } catch (const std::bad_alloc &) {
        return fail(CDCMTK_NO_MEMORY, "out of memory");
    } catch (...) {
        return fail(CDCMTK_INTERNAL, "unexpected exception");
    }
}

} // namespace cdcmtk
