// SPDX-License-Identifier: Apache-2.0
#include "Initialization.hpp"

#include "dcmtk/dcmdata/dcpixel.h"
#include "dcmtk/dcmdata/dcpixseq.h"
#include "dcmtk/dcmdata/dcpxitem.h"

#include <memory>
#include <vector>

using cdcmtk::fail;
using cdcmtk::guarded;
using cdcmtk::status;

namespace {

// Describes the frame in a data set, because DCMTK decodes only frames of a data set.
OFCondition describe(DcmDataset &data_set, const cdcmtk_frame_layout &layout) {
    OFCondition put = data_set.putAndInsertUint16(DCM_SamplesPerPixel, layout.samples_per_pixel);
    if (put.good())
        put = data_set.putAndInsertString(DCM_PhotometricInterpretation, layout.photometric_interpretation);
    if (put.good() && layout.samples_per_pixel > 1) put = data_set.putAndInsertUint16(DCM_PlanarConfiguration, 0);
    if (put.good()) put = data_set.putAndInsertString(DCM_NumberOfFrames, "1");
    if (put.good()) put = data_set.putAndInsertUint16(DCM_Rows, layout.rows);
    if (put.good()) put = data_set.putAndInsertUint16(DCM_Columns, layout.columns);
    if (put.good()) put = data_set.putAndInsertUint16(DCM_BitsAllocated, layout.bits_allocated);
    if (put.good()) put = data_set.putAndInsertUint16(DCM_BitsStored, layout.bits_stored);
    if (put.good()) put = data_set.putAndInsertUint16(DCM_HighBit, Uint16(layout.bits_stored - 1));
    if (put.good()) put = data_set.putAndInsertUint16(DCM_PixelRepresentation, layout.is_signed);
    return put;
}

// Makes an empty basic offset table, and one fragment with the frame.
OFCondition encapsulate(DcmPixelSequence &sequence, const uint8_t *compressed, size_t length) {
    OFCondition put = sequence.insert(new DcmPixelItem(DCM_PixelItemTag));
    if (put.bad()) return put;
    auto fragment = std::make_unique<DcmPixelItem>(DCM_PixelItemTag);
    std::vector<Uint8> even(compressed, compressed + length);
    if (even.size() % 2) even.push_back(0);
    put = fragment->putUint8Array(even.data(), static_cast<unsigned long>(even.size()));
    if (put.good()) put = sequence.insert(fragment.get());
    if (put.good()) fragment.release();
    return put;
}

} // namespace

extern "C" cdcmtk_status cdcmtk_decode_frame(
    const char *transfer_syntax_uid, const cdcmtk_frame_layout *layout, const uint8_t *compressed, size_t length,
    uint8_t *decoded, size_t decoded_length) {
    return guarded([&] {
        const DcmXfer syntax(transfer_syntax_uid);
        if (!syntax.isEncapsulated()) return fail(CDCMTK_UNSUPPORTED, "not a compressed transfer syntax");
        const size_t expected = size_t(layout->rows) * layout->columns * layout->samples_per_pixel *
                                (layout->bits_allocated / 8);
        if (decoded_length != expected || expected == 0 || expected > 0x7FFFFFFFu || length > 0x7FFFFFFFu)
            return fail(CDCMTK_INVALID, "the size of the frame and of its buffer differ");

        DcmDataset data_set;
        OFCondition done = describe(data_set, *layout);
        if (done.bad()) return status(done, CDCMTK_INVALID);
        auto sequence = std::make_unique<DcmPixelSequence>(DCM_PixelSequenceTag);
        done = encapsulate(*sequence, compressed, length);
        if (done.bad()) return status(done, CDCMTK_INVALID);
        auto pixels = std::make_unique<DcmPixelData>(DCM_PixelData);
        pixels->putOriginalRepresentation(syntax.getXfer(), nullptr, sequence.release());
        done = data_set.insert(pixels.get(), OFTrue);
        if (done.bad()) return status(done, CDCMTK_INVALID);
        DcmPixelData *inserted = pixels.release();

        Uint32 fragment = 0;
        OFString color;
        // getUncompressedFrame pads a frame of an odd number of bytes to an even one.
        const size_t padded = decoded_length + (decoded_length & 1);
        std::vector<Uint8> frame(padded);
        done = inserted->getUncompressedFrame(
            &data_set, 0, fragment, frame.data(), static_cast<Uint32>(padded), color);
        if (done.bad()) return status(done, CDCMTK_CORRUPT);
        memcpy(decoded, frame.data(), decoded_length);
        return CDCMTK_OK;
    });
}
