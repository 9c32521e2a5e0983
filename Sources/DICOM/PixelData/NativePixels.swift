// SPDX-License-Identifier: Apache-2.0
//
// Uncompressed pixel data: PS3.5 section 8.1 and 8.2, PS3.3 C.7.6.3.1.

import Foundation

/// Uncompressed Pixel Data of one instance.
///
/// It borrows the data set's bytes.
struct NativePixels {
    let layout: PixelLayout
    /// The value of Pixel Data.
    let bytes: UnsafeRawBufferPointer
    let isBigEndian: Bool
    /// Whether bytes of samples of at most 8 bits are swapped in pairs: OW in big endian.
    let swapsBytePairs: Bool
    /// Whether two pixels share their chrominance: Y Y Cb Cr.
    let isSubsampled: Bool
    /// A copy of Pixel Data with zeros in place of missing bytes; `nil` if none are missing.
    private let completed: FileBytes?

    /// Takes the value of Pixel Data of a data set.
    ///
    /// - Throws: as the initializer for bytes.
    init(
        _ layout: PixelLayout, element: ScannedElement, in data: DataSet, remarks: DecodingRemarks
    ) throws(PixelDataError) {
        let isBigEndian = element.encoding.isBigEndian
        try self.init(
            layout, bytes: data.bytes[element.range], isBigEndian: isBigEndian,
            swapsBytePairs: isBigEndian && layout.bitsAllocated <= 8 && element.vr == .otherWord, remarks: remarks)
    }

    /// Takes uncompressed frames, and checks their length.
    ///
    /// If less than a row is missing at the end, zeros take its place. Bytes after the last frame are not used. Both add
    /// a remark.
    ///
    /// - Throws: `PixelDataError.inconsistent` if more is missing.
    init(
        _ layout: PixelLayout, bytes: UnsafeRawBufferPointer, isBigEndian: Bool, swapsBytePairs: Bool,
        remarks: DecodingRemarks
    ) throws(PixelDataError) {
        self.layout = layout
        self.isBigEndian = isBigEndian
        self.swapsBytePairs = swapsBytePairs
        let row = max(1, layout.columns * layout.samples * layout.bitsAllocated / 8)
        let whole = try layout.bytes(frames: layout.frames)
        // Some writers say YBR_FULL_422 and do not subsample.
        isSubsampled = layout.photometric == .ybrFull422 && whole - bytes.count >= row
        if isSubsampled, layout.columns % 2 != 0 || layout.bitsAllocated != 8 {
            throw .unsupportedEncoding(reason: "YBR_FULL_422 needs an even number of columns and 8 bits")
        }
        let expected = isSubsampled ? whole / 3 * 2 : whole
        let missing = expected - bytes.count
        guard missing < row, missing <= 0 || expected <= PixelLayout.decodedLimit else {
            throw .inconsistent(reason: "Pixel Data has \(bytes.count) bytes; its frames need \(expected)")
        }
        if missing > 0 {
            let whole = Self.completed(bytes, count: expected)
            (completed, self.bytes) = (whole, whole.base)
            remarks.add("Pixel Data lacks the last \(missing) of \(expected) bytes; they were read as 0")
        } else {
            (completed, self.bytes) = (nil, bytes)
        }
        // One byte makes an odd number even.
        if missing < -1 {
            remarks.add("Pixel Data has \(bytes.count) bytes, and its frames need only \(expected)")
        }
    }

    private static func completed(_ bytes: UnsafeRawBufferPointer, count: Int) -> FileBytes {
        guard let memory = calloc(count, 1) else { preconditionFailure("memory for one image") }
        if let start = bytes.baseAddress { memory.copyMemory(from: start, byteCount: bytes.count) }
        return FileBytes(owning: memory, count: count)
    }

    /// The stored values of one frame.
    ///
    /// - Parameter index: counted from 0.
    /// - Returns: colour by pixel, also if the planes are stored apart.
    func frame(_ index: Int) -> StoredFrame {
        if isSubsampled { return subsampledFrame(index) }
        let count = layout.pixels * layout.samples
        let start = index * count
        if layout.photometric == .rgb, layout.bitsAllocated == 8, layout.bitsStored == 8, !layout.isPlanar,
            !swapsBytePairs
        {
            return StoredFrame(
                samples: [], photometric: .rgb, bitsStored: 8, highBit: 7, bytes: Array(bytes[start..<start + count]))
        }
        var frame = StoredFrame(
            samples: [], photometric: layout.photometric == .ybrFull422 ? .ybrFull : layout.photometric,
            bitsStored: layout.bitsStored, highBit: layout.highBit)
        switch layout.bitsAllocated {
        case 1: frame.samples = (0..<count).map { UInt16(byte(at: (start + $0) / 8) >> ((start + $0) % 8) & 1) }
        case 8: frame.samples = (0..<count).map { UInt16(byte(at: start + $0)) }
        case 16: frame.samples = numbers(from: start, count: count)
        default: frame.wide = Self.interleaved(numbers(from: start, count: count), planes: planes)
        }
        frame.samples = Self.interleaved(frame.samples, planes: planes)
        return frame
    }

    /// The number of planes that are stored apart.
    private var planes: Int { layout.isPlanar ? layout.samples : 1 }

    private func numbers<Number: FixedWidthInteger>(from start: Int, count: Int) -> [Number] {
        let size = MemoryLayout<Number>.size
        return (start..<start + count).map {
            let value = bytes.loadUnaligned(fromByteOffset: size * $0, as: Number.self)
            return isBigEndian ? Number(bigEndian: value) : Number(littleEndian: value)
        }
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
    private static func interleaved<Number: FixedWidthInteger>(_ planar: [Number], planes: Int) -> [Number] {
        guard planes > 1 else { return planar }
        let pixels = planar.count / planes
        var out = [Number](repeating: 0, count: planar.count)
        for plane in 0..<planes {
            for pixel in 0..<pixels { out[pixel * planes + plane] = planar[plane * pixels + pixel] }
        }
        return out
    }
}
