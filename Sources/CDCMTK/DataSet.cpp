// SPDX-License-Identifier: Apache-2.0
#include "Initialization.hpp"

#include "dcmtk/dcmdata/dcostrmb.h"
#include "dcmtk/dcmdata/dcwcache.h"

#include <vector>

using cdcmtk::fail;
using cdcmtk::guarded;
using cdcmtk::status;

struct cdcmtk_data_set {
    DcmFileFormat file;
};

namespace {

DcmItem *item(cdcmtk_item *handle) { return reinterpret_cast<DcmItem *>(handle); }
cdcmtk_item *handle(DcmItem *item) { return reinterpret_cast<cdcmtk_item *>(item); }
DcmTagKey key(uint32_t tag) { return DcmTagKey(Uint16(tag >> 16), Uint16(tag & 0xFFFF)); }

bool isText(DcmEVR vr) {
    switch (vr) {
    case EVR_AE: case EVR_AS: case EVR_CS: case EVR_DA: case EVR_DS: case EVR_DT: case EVR_IS: case EVR_LO:
    case EVR_LT: case EVR_PN: case EVR_SH: case EVR_ST: case EVR_TM: case EVR_UC: case EVR_UI: case EVR_UR:
    case EVR_UT:
        return true;
    default:
        return false;
    }
}

// Copies the value of a numeric element to an aligned array: `value` may have any address.
template <class Number> std::vector<Number> numbers(const uint8_t *value, size_t length) {
    std::vector<Number> all(length / sizeof(Number));
    if (!all.empty()) memcpy(all.data(), value, all.size() * sizeof(Number));
    return all;
}

OFCondition putNumbers(DcmElement *element, const uint8_t *value, size_t length) {
    switch (element->getVR()) {
    case EVR_OB: case EVR_UN: {
        if (length % 2 == 0) return element->putUint8Array(value, static_cast<unsigned long>(length));
        std::vector<Uint8> even(value, value + length);
        even.push_back(0);
        return element->putUint8Array(even.data(), static_cast<unsigned long>(even.size()));
    }
    case EVR_OW: case EVR_US: case EVR_AT: {
        auto all = numbers<Uint16>(value, length);
        return element->putUint16Array(all.data(), element->getVR() == EVR_AT ? all.size() / 2 : all.size());
    }
    case EVR_SS: {
        auto all = numbers<Sint16>(value, length);
        return element->putSint16Array(all.data(), all.size());
    }
    case EVR_UL: {
        auto all = numbers<Uint32>(value, length);
        return element->putUint32Array(all.data(), all.size());
    }
    case EVR_SL: {
        auto all = numbers<Sint32>(value, length);
        return element->putSint32Array(all.data(), all.size());
    }
    case EVR_FL: {
        auto all = numbers<Float32>(value, length);
        return element->putFloat32Array(all.data(), all.size());
    }
    case EVR_FD: {
        auto all = numbers<Float64>(value, length);
        return element->putFloat64Array(all.data(), all.size());
    }
    default:
        return EC_IllegalCall;
    }
}

// Borrows the value of a numeric element.
OFCondition numericValue(DcmElement *element, const uint8_t **value) {
    const auto borrowed = [&](auto get, auto *typed) {
        const OFCondition got = (element->*get)(typed);
        *value = reinterpret_cast<const uint8_t *>(typed);
        return got;
    };
    switch (element->getVR()) {
    case EVR_OB: case EVR_UN: return borrowed(&DcmElement::getUint8Array, static_cast<Uint8 *>(nullptr));
    case EVR_OW: case EVR_US: case EVR_AT:
        return borrowed(&DcmElement::getUint16Array, static_cast<Uint16 *>(nullptr));
    case EVR_SS: return borrowed(&DcmElement::getSint16Array, static_cast<Sint16 *>(nullptr));
    case EVR_UL: return borrowed(&DcmElement::getUint32Array, static_cast<Uint32 *>(nullptr));
    case EVR_SL: return borrowed(&DcmElement::getSint32Array, static_cast<Sint32 *>(nullptr));
    case EVR_FL: return borrowed(&DcmElement::getFloat32Array, static_cast<Float32 *>(nullptr));
    case EVR_FD: return borrowed(&DcmElement::getFloat64Array, static_cast<Float64 *>(nullptr));
    default: return EC_IllegalCall;
    }
}

} // namespace

extern "C" cdcmtk_data_set *cdcmtk_data_set_create(void) {
    cdcmtk_initialize();
    return new (std::nothrow) cdcmtk_data_set;
}

extern "C" void cdcmtk_data_set_destroy(cdcmtk_data_set *data_set) { delete data_set; }

extern "C" cdcmtk_status cdcmtk_data_set_read(const char *path, cdcmtk_data_set **data_set) {
    return guarded([&] {
        *data_set = nullptr;
        auto *made = new cdcmtk_data_set;
        const OFCondition loaded = made->file.loadFile(path);
        if (loaded.bad()) {
            delete made;
            return status(loaded, CDCMTK_CORRUPT);
        }
        *data_set = made;
        return CDCMTK_OK;
    });
}

extern "C" cdcmtk_item *cdcmtk_data_set_root(cdcmtk_data_set *data_set) { return handle(data_set->file.getDataset()); }

extern "C" cdcmtk_status cdcmtk_item_put(
    cdcmtk_item *into, uint32_t tag, const char *vr, const uint8_t *value, size_t length) {
    return guarded([&] {
        if (length > 0xFFFFFFFEu) return fail(CDCMTK_TOO_LARGE, "a value holds at most 4 GiB");
        const DcmVR representation(vr);
        DcmElement *element = nullptr;
        OFCondition made = DcmItem::newDicomElementWithVR(element, DcmTag(key(tag), representation));
        if (made.bad()) return status(made, CDCMTK_INVALID);
        if (length > 0) {
            made = isText(representation.getEVR())
                       ? element->putString(reinterpret_cast<const char *>(value), static_cast<Uint32>(length))
                       : putNumbers(element, value, length);
        }
        if (made.good()) made = item(into)->insert(element, OFTrue);
        if (made.bad()) {
            delete element;
            return status(made, CDCMTK_INVALID);
        }
        return CDCMTK_OK;
    });
}

extern "C" cdcmtk_status cdcmtk_item_put_sequence(cdcmtk_item *into, uint32_t tag) {
    return guarded([&] {
        auto *sequence = new DcmSequenceOfItems(DcmTag(key(tag), DcmVR(EVR_SQ)));
        const OFCondition inserted = item(into)->insert(sequence, OFTrue);
        if (inserted.bad()) delete sequence;
        return status(inserted, CDCMTK_INVALID);
    });
}

extern "C" cdcmtk_status cdcmtk_item_append(cdcmtk_item *into, uint32_t tag, cdcmtk_item **appended) {
    return guarded([&] {
        DcmElement *element = nullptr;
        auto *sequence = item(into)->findAndGetElement(key(tag), element).good()
                             ? dynamic_cast<DcmSequenceOfItems *>(element)
                             : nullptr;
        if (sequence == nullptr) {
            sequence = new DcmSequenceOfItems(DcmTag(key(tag), DcmVR(EVR_SQ)));
            const OFCondition inserted = item(into)->insert(sequence, OFTrue);
            if (inserted.bad()) {
                delete sequence;
                return status(inserted, CDCMTK_INVALID);
            }
        }
        auto *child = new DcmItem;
        const OFCondition added = sequence->append(child);
        if (added.bad()) {
            delete child;
            return status(added, CDCMTK_INVALID);
        }
        *appended = handle(child);
        return CDCMTK_OK;
    });
}

extern "C" cdcmtk_status cdcmtk_item_get(cdcmtk_item *from, uint32_t tag, const uint8_t **value, size_t *length) {
    return guarded([&] {
        DcmElement *element = nullptr;
        if (item(from)->findAndGetElement(key(tag), element).bad()) return CDCMTK_NOT_FOUND;
        *length = element->getLength();
        *value = nullptr;
        if (*length == 0) return CDCMTK_OK;
        if (isText(element->getVR())) {
            char *text = nullptr;
            const OFCondition got = element->getString(text);
            *value = reinterpret_cast<const uint8_t *>(text);
            *length = text == nullptr ? 0 : strlen(text);
            return status(got, CDCMTK_UNSUPPORTED);
        }
        return status(numericValue(element, value), CDCMTK_UNSUPPORTED);
    });
}

extern "C" cdcmtk_status cdcmtk_item_child(cdcmtk_item *from, uint32_t tag, size_t index, cdcmtk_item **child) {
    return guarded([&] {
        DcmSequenceOfItems *sequence = nullptr;
        if (item(from)->findAndGetSequence(key(tag), sequence).bad()) return CDCMTK_NOT_FOUND;
        if (index >= sequence->card()) return CDCMTK_END;
        *child = handle(sequence->getItem(static_cast<unsigned long>(index)));
        return CDCMTK_OK;
    });
}

extern "C" cdcmtk_status cdcmtk_item_element(cdcmtk_item *from, size_t index, uint32_t *tag, char vr[3]) {
    return guarded([&] {
        if (index >= item(from)->card()) return CDCMTK_END;
        DcmElement *element = item(from)->getElement(static_cast<unsigned long>(index));
        const DcmTag &found = element->getTag();
        *tag = uint32_t(found.getGTag()) << 16 | found.getETag();
        memcpy(vr, DcmVR(element->getVR()).getValidVRName(), 2);
        vr[2] = 0;
        return CDCMTK_OK;
    });
}

extern "C" cdcmtk_status cdcmtk_data_set_write(cdcmtk_data_set *data_set, cdcmtk_sink sink, void *context) {
    return guarded([&] {
        std::vector<char> memory(256 * 1024);
        DcmOutputBufferStream stream(memory.data(), static_cast<offile_off_t>(memory.size()));
        DcmDataset *written = data_set->file.getDataset();
        DcmWriteCache cache;
        written->transferInit();
        OFCondition step = EC_StreamNotifyClient;
        cdcmtk_status sunk = CDCMTK_OK;
        while (step == EC_StreamNotifyClient && sunk == CDCMTK_OK) {
            step = written->write(
                stream, EXS_LittleEndianExplicit, EET_ExplicitLength, &cache, EGL_withoutGL, EPD_withoutPadding);
            void *full = nullptr;
            offile_off_t length = 0;
            stream.flushBuffer(full, length);
            if (length > 0 && sink(context, static_cast<const uint8_t *>(full), static_cast<size_t>(length)) != 0)
                sunk = fail(CDCMTK_IO, "the sink took no more bytes");
        }
        written->transferEnd();
        return sunk != CDCMTK_OK ? sunk : status(step, CDCMTK_INVALID);
    });
}
