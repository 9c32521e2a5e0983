// SPDX-License-Identifier: Apache-2.0
//
// What every function of the door does on its way in and out.
#pragma once

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"

#include "include/CDCMTKDataSet.h"

#include <new>

namespace cdcmtk {

// Remembers the words for cdcmtk_last_error and returns the status.
cdcmtk_status fail(cdcmtk_status status, const char *words);

// The status for a condition of DCMTK; its text is constant and quotes no value.
cdcmtk_status status(const OFCondition &condition, cdcmtk_status otherwise);

// Runs `body` behind the wall that no exception passes.
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
