// SPDX-License-Identifier: Apache-2.0
#include "Initialization.hpp"

#include "dcmtk/dcmdata/dcistrmb.h"
#include "dcmtk/dcmdata/dcspchrs.h"
#include "dcmtk/ofstd/ofchrenc.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

using cdcmtk::fail;
using cdcmtk::guarded;
using cdcmtk::status;

namespace {

// Copies bytes to memory from malloc, which cdcmtk_bytes_free frees.
cdcmtk_status hand(const char *bytes, size_t length, cdcmtk_bytes *out) {
    out->data = static_cast<uint8_t *>(std::malloc(length > 0 ? length : 1));
    if (out->data == nullptr) return fail(CDCMTK_NO_MEMORY, "out of memory");
    if (length > 0) memcpy(out->data, bytes, length);
    out->length = length;
    return CDCMTK_OK;
}

// The encoding that iconv knows for a character set with code extensions (PS3.3 C.12.1.1.2). The GNU C library does not
// have the converters for single code elements of ISO 2022 that DCMTK asks for.
const char *switchingEncoding(const std::string &character_set) {
    static const char *const encodings[][2] = {
        {"ISO 2022 IR 87", "ISO-2022-JP-2"},
        {"ISO 2022 IR 159", "ISO-2022-JP-2"},
        {"ISO 2022 IR 149", "EUC-KR"},
        {"ISO 2022 IR 58", "GB2312"},
    };
    for (const auto &row : encodings)
        if (character_set.find(row[0]) != std::string::npos) return row[1];
    return nullptr;
}

// Removes ESC $ ) and a letter, which announces the set of Korean and Chinese text: the encodings imply it.
std::string withoutAnnouncements(const std::string &text) {
    std::string kept;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text.compare(i, 3, "\x1b$)") == 0 && i + 3 < text.size())
            i += 3;
        else
            kept += text[i];
    }
    return kept;
}

cdcmtk_status convertSwitching(const std::string &character_set, const std::string &text, cdcmtk_bytes *utf8) {
    const char *encoding = switchingEncoding(character_set);
    if (encoding == nullptr) return fail(CDCMTK_UNSUPPORTED, "the character set is not known");
    OFCharacterEncoding converter;
    OFString converted;
    OFCondition done = converter.selectEncoding(encoding, "UTF-8");
    if (done.good()) {
        const std::string plain = withoutAnnouncements(text);
        done = converter.convertString(plain.data(), plain.size(), converted);
    }
    if (done.bad()) return status(done, CDCMTK_CORRUPT);
    return hand(converted.data(), converted.length(), utf8);
}

// A buffer that is freed with its last use.
struct Growing {
    uint8_t *data = nullptr;
    size_t capacity = 0;
    ~Growing() { std::free(data); }
    bool reserve(size_t wanted) {
        if (wanted <= capacity) return true;
        auto *moved = static_cast<uint8_t *>(std::realloc(data, wanted));
        if (moved == nullptr) return false;
        data = moved;
        capacity = wanted;
        return true;
    }
};

} // namespace

extern "C" void cdcmtk_dictionary_vr(uint32_t tag, char vr[3]) {
    const auto looked = guarded([&] {
        const DcmTag found(Uint16(tag >> 16), Uint16(tag & 0xFFFF));
        memcpy(vr, found.getVR().getValidVRName(), 2);
        return CDCMTK_OK;
    });
    if (looked != CDCMTK_OK) memcpy(vr, "UN", 2);
    vr[2] = 0;
}

extern "C" cdcmtk_status cdcmtk_utf8(
    const char *character_set, const uint8_t *text, size_t length, const char *delimiters, cdcmtk_bytes *utf8) {
    return guarded([&] {
        DcmSpecificCharacterSet converter;
        OFCondition done = converter.selectCharacterSet(OFString(character_set));
        if (done.bad())
            return convertSwitching(character_set, {reinterpret_cast<const char *>(text), length}, utf8);
        OFString converted;
        done = converter.convertString(reinterpret_cast<const char *>(text), length, converted, delimiters);
        if (done.bad()) return status(done, CDCMTK_CORRUPT);
        return hand(converted.data(), converted.length(), utf8);
    });
}

extern "C" cdcmtk_status cdcmtk_inflate(const uint8_t *deflated, size_t length, size_t limit, cdcmtk_bytes *inflated) {
    return guarded([&] {
        DcmInputBufferStream stream;
        stream.setBuffer(const_cast<uint8_t *>(deflated), static_cast<offile_off_t>(length));
        stream.setEos();
        const OFCondition installed = stream.installCompressionFilter(ESC_zlib);
        if (installed.bad()) return status(installed, CDCMTK_UNSUPPORTED);
        Growing out;
        size_t used = 0;
        for (;;) {
            // One byte more than the limit tells a result that just fits from one that is too long.
            if (used == out.capacity && !out.reserve(std::min(std::max<size_t>(used * 2, 1 << 20), limit + 1)))
                return fail(CDCMTK_NO_MEMORY, "out of memory");
            const auto got = stream.read(out.data + used, static_cast<offile_off_t>(out.capacity - used));
            if (stream.status().bad()) return status(stream.status(), CDCMTK_CORRUPT);
            if (got <= 0) break;
            used += static_cast<size_t>(got);
            if (used > limit) return fail(CDCMTK_TOO_LARGE, "more bytes come out than are allowed");
        }
        if (!stream.eos()) return fail(CDCMTK_CORRUPT, "the deflated bytes end early");
        inflated->data = out.data;
        inflated->length = used;
        out.data = nullptr;
        return CDCMTK_OK;
    });
}
