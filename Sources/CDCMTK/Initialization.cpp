// SPDX-License-Identifier: Apache-2.0
#include "Initialization.hpp"

#include "dcmtk/dcmjpeg/djdecode.h"
#include "dcmtk/dcmjpls/djdecode.h"
#include "dcmtk/oflog/oflog.h"

#include <cstdlib>
#include <mutex>
#include <string>

namespace {

thread_local std::string lastError;

void initializeOnce() {
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
    // Callers hand over one frame at a time, and expect colour by pixel.
    DJDecoderRegistration::registerCodecs(EDC_photometricInterpretation, EUC_never, EPC_colorByPixel);
    DJLSDecoderRegistration::registerCodecs(EJLSUC_never, EJLSPC_colorByPixel);
}

} // namespace

extern "C" void cdcmtk_initialize(void) {
    static std::once_flag once;
    std::call_once(once, initializeOnce);
}

extern "C" const char *cdcmtk_last_error(void) { return lastError.c_str(); }

extern "C" void cdcmtk_bytes_free(cdcmtk_bytes *bytes) {
    std::free(bytes->data);
    bytes->data = nullptr;
    bytes->length = 0;
}

namespace cdcmtk {

cdcmtk_status fail(cdcmtk_status status, const char *words) {
    try {
        lastError = words;
    } catch (...) {
        lastError.clear();
    }
    return status;
}

cdcmtk_status status(const OFCondition &condition, cdcmtk_status otherwise) {
    if (condition.good()) return CDCMTK_OK;
    if (condition == EC_MemoryExhausted) return fail(CDCMTK_NO_MEMORY, condition.text());
    return fail(otherwise, condition.text());
}

} // namespace cdcmtk
