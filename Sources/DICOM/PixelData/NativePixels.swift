// SPDX-License-Identifier: Apache-2.0
//
// Uncompressed pixel data: PS3.5 section 8.1 and 8.2, PS3.3 C.7.6.3.1.

/// Uncompressed Pixel Data of one instance.
///
/// It borrows the data set's bytes.
struct NativePixels {
    let layout: PixelLayout
    /// The value of Pixel Data.
    let bytes: UnsafeRawBufferPointer
    let isBigEndian: Bool
    /// Whether bytes of 8-bit samples are swapped in pairs: OW in big endian.
    let swapsBytePairs: Bool
    /// Whether two pixels share their chrominance: Y Y Cb Cr.
    let isSubsampled: Bool

    /// Takes the value of Pixel Data of a data set.
    ///
    /// - Throws: as the initializer for bytes.
    init(
        _ layout: PixelLayout, element: ScannedElement, in data: DataSet, remarks: DecodingRemarks
    ) throws(PixelDataError) {
        let isBigEndian = element.encoding.isBigEndian
        try self.init(
            layout, bytes: data.bytes[element.range], isBigEndian: isBigEndian,
            swapsBytePairs: isBigEndian && layout.bitsAllocated == 8 && element.vr == .otherWord, remarks: remarks)
    }

    /// Takes uncompressed frames, and checks their length.
    ///
    /// - Throws: `PixelDataError.inconsistent` if they are too short, or longer by a frame or more.
    init(
        _ layout: PixelLayout, bytes: UnsafeRawBufferPointer, isBigEndian: Bool, swapsBytePairs: Bool,
        remarks: DecodingRemarks
    ) throws(PixelDataError) {
        self.layout = layout
        self.bytes = bytes
        self.isBigEndian = isBigEndian
        self.swapsBytePairs = swapsBytePairs
        let (whole, overflow) = (layout.pixels * layout.samples * layout.bytesPerSample)
            .multipliedReportingOverflow(by: layout.frames)
        guard !overflow else { throw .tooLarge(bytes: .max, limit: PixelLayout.decodedLimit) }
        // Some writers say YBR_FULL_422 and do not subsample.
        isSubsampled = layout.photometric == .ybrFull422 && bytes.count < whole
        if isSubsampled, layout.columns % 2 != 0 || layout.bitsAllocated != 8 {
            throw .unsupportedEncoding(reason: "YBR_FULL_422 needs an even number of columns and 8 bits")
        }
        let expected = isSubsampled ? whole / 3 * 2 : whole
        guard bytes.count >= expected else {
            throw .inconsistent(reason: "Pixel Data has \(bytes.count) bytes; its frames need \(expected)")
        }
        guard bytes.count < expected + expected / layout.frames + 2 else {
            throw .inconsistent(reason: "Pixel Data has \(bytes.count) bytes; its frames need only \(expected)")
        }
    }

    /// The stored values of one frame.
    ///
    /// - Parameter index: counted from 0.
    /// - Returns: colour by pixel, also if the planes are stored apart.
    func frame(_ index: Int) -> StoredFrame {
        if isSubsampled { return subsampledFrame(index) }
        let count = layout.pixels * layout.samples
        let start = index * count * layout.bytesPerSample
        if layout.photometric == .rgb, layout.bitsAllocated == 8, layout.bitsStored == 8, !layout.isPlanar,
            !swapsBytePairs
        {
            return StoredFrame(
                samples: [], photometric: .rgb, bitsStored: 8, highBit: 7, bytes: Array(bytes[start..<start + count]))
        }
        var samples = [UInt16](repeating: 0, count: count)
        if layout.bytesPerSample == 1 {
            for i in 0..<count { samples[i] = UInt16(byte(at: start + i)) }
        } else {
            for i in 0..<count {
                let value = bytes.loadUnaligned(fromByteOffset: start + 2 * i, as: UInt16.self)
                samples[i] = isBigEndian ? UInt16(bigEndian: value) : UInt16(littleEndian: value)
            }
        }
        if layout.isPlanar { samples = Self.interleaved(samples, planes: layout.samples) }
        return StoredFrame(
            samples: samples, photometric: layout.photometric == .ybrFull422 ? .ybrFull : layout.photometric,
            bitsStored: layout.bitsStored, highBit: layout.highBit)
    }

    private func subsampledFrame(_ index: Int) -> StoredFrame {
        let start = index * layout.pixels * 2
        var samples = [UInt16](repeating: 0, count: layout.pixels * 3)
        for pair in 0..<layout.pixels / 2 {
            let from = start + 4 * pair
            let blue = UInt16(byte(at: from + 2))
            let red = UInt16(byte(at: from + 3))
            for pixel in 0..<2 {
                let to = (2 * pair + pixel) * 3
                samples[to] = UInt16(byte(at: from + pixel))
                samples[to + 1] = blue
                samples[to + 2] = red
            }
        }
        return StoredFrame(samples: samples, photometric: .ybrFull, bitsStored: 8, highBit: 7)
    }

    private func byte(at offset: Int) -> UInt8 {
        guard swapsBytePairs else { return bytes[offset] }
        // If the number of bytes is odd, the last byte does not have a partner.
        return bytes[min(offset ^ 1, bytes.count - 1)]
    }

    /// Turns `[planes, pixels]` into `[pixels, planes]`.
    private static func interleaved(_ planar: [UInt16], planes: Int) -> [UInt16] {
        let pixels = planar.count / planes
        var out = [UInt16](repeating: 0, count: planar.count)
        for plane in 0..<planes {
            for pixel in 0..<pixels { out[pixel * planes + plane] = planar[plane * pixels + pixel] }
        }
        return out
    }
}
