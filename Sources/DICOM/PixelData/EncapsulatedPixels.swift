// SPDX-License-Identifier: Apache-2.0
//
// Compressed pixel data, frame by frame, to stored values: PS3.5 8.2 and A.4.

import CDCMTK
import CJPEG2000

/// Compressed Pixel Data of one instance.
struct EncapsulatedPixels {
    let layout: PixelLayout
    let syntax: TransferSyntax
    let data: DataSet
    /// What was mended while decoding.
    let remarks: DecodingRemarks
    private let fragments: FrameFragments

    /// Finds the fragments of each frame.
    ///
    /// - Throws: `PixelDataError.inconsistent` if Pixel Data is not in fragments, or if they cannot be assigned to
    ///   frames.
    init(
        _ layout: PixelLayout, syntax: TransferSyntax, in data: DataSet, remarks: DecodingRemarks
    ) throws(PixelDataError) {
        self.layout = layout
        self.syntax = syntax
        self.data = data
        self.remarks = remarks
        fragments = try FrameFragments(of: data, count: layout.frames, syntax: syntax, remarks: remarks)
    }

    /// Decompresses one frame.
    ///
    /// The first bytes of a JPEG or JPEG 2000 stream choose the codec, because some files name another one.
    ///
    /// - Parameter index: counted from 0.
    /// - Returns: colour by pixel.
    /// - Throws: `PixelDataError.frame` with the number of the frame.
    func frame(_ index: Int) throws(PixelDataError) -> StoredFrame {
        guard index < fragments.frames.count else {
            throw .frame(number: index + 1, reason: "Pixel Data does not hold it")
        }
        let ranges = fragments.frames[index]
        var compressed: [UInt8] = []
        compressed.reserveCapacity(ranges.reduce(0) { $0 + $1.count })
        for fragment in ranges { compressed += data.bytes[fragment] }
        switch syntax {
        case .rleLossless: return try rleFrame(compressed, number: index + 1)
        case .deflatedImageFrame: return try deflatedFrame(compressed, number: index + 1)
        case .encapsulatedUncompressed:
            return try compressed.withUnsafeBufferPointer { bytes throws(PixelDataError) in
                try uncompressedFrame(UnsafeRawBufferPointer(bytes))
            }
        default:
            switch StreamKind(compressed.prefix(12)) {
            case .jpeg2000, .jpeg2000Boxes: return try jpeg2000Frame(compressed, number: index + 1)
            case .jpeg, nil: return try jpegFrame(compressed, number: index + 1)
            }
        }
    }

    private func rleFrame(_ compressed: [UInt8], number: Int) throws(PixelDataError) -> StoredFrame {
        guard layout.bytesPerSample > 0 else { throw .unsupportedEncoding(reason: "RLE needs samples of whole bytes") }
        do {
            var frame = StoredFrame(
                samples: [], photometric: layout.photometric == .ybrFull422 ? .ybrFull : layout.photometric,
                bitsStored: layout.bitsStored, highBit: layout.highBit)
            if layout.bytesPerSample > 2 {
                frame.wide = try RLEDecoder.decode(compressed, layout, as: UInt32.self)
            } else {
                frame.samples = try RLEDecoder.decode(compressed, layout, as: UInt16.self)
            }
            return frame
        } catch {
            throw .frame(number: number, reason: error.reason)
        }
    }

    /// Inflates a frame of Deflated Image Frame Compression (PS3.5 8.2.16, A.4.13).
    private func deflatedFrame(_ compressed: [UInt8], number: Int) throws(PixelDataError) -> StoredFrame {
        // One byte more than the frame, for the padding of an odd number of bytes.
        let limit = try layout.bytes(frames: 1) + 1
        var inflated = cdcmtk_bytes()
        defer { cdcmtk_bytes_free(&inflated) }
        guard cdcmtk_inflate(compressed, compressed.count, limit, &inflated) == CDCMTK_OK, let bytes = inflated.data
        else {
            throw .frame(number: number, reason: "its bytes do not inflate to its size")
        }
        return try uncompressedFrame(UnsafeRawBufferPointer(start: bytes, count: inflated.length))
    }

    private func uncompressedFrame(_ bytes: UnsafeRawBufferPointer) throws(PixelDataError) -> StoredFrame {
        try NativePixels(layout.singleFrame, bytes: bytes, isBigEndian: false, swapsBytePairs: false, remarks: remarks)
            .frame(0)
    }

    // MARK: JPEG 2000

    /// Decodes a frame of JPEG 2000 or HTJ2K (PS3.5 8.2.4, 8.2.14).
    ///
    /// A codestream that is cut off is decoded as far as it goes.
    private func jpeg2000Frame(_ compressed: [UInt8], number: Int) throws(PixelDataError) -> StoredFrame {
        let stream: JPEG2000Stream
        do { stream = try JPEG2000Stream.read(compressed) } catch { throw .frame(number: number, reason: error.reason) }
        guard stream.rows == layout.rows, stream.columns == layout.columns, stream.components == layout.samples else {
            throw .frame(
                number: number,
                reason: "its JPEG 2000 codestream is \(stream.rows) x \(stream.columns) x \(stream.components), "
                    + "the image \(layout.rows) x \(layout.columns) x \(layout.samples)")
        }
        guard stream.precision <= layout.bitsAllocated else {
            throw .frame(
                number: number,
                reason: "its JPEG 2000 codestream has \(stream.precision) bits, the image \(layout.bitsAllocated)")
        }
        var samples = [UInt16](repeating: 0, count: layout.pixels * layout.samples)
        if let problem = decode(compressed[stream.codestream], into: &samples, lenient: false) {
            guard decode(compressed[stream.codestream], into: &samples, lenient: true) == nil else {
                throw .frame(number: number, reason: problem)
            }
            remarks.add(
                "the JPEG 2000 codestream of frame \(number) is damaged: the frame was decoded as far as it goes")
        }
        // The codestream undoes its own colour transform (C.7.6.3.1.2, YBR_ICT and YBR_RCT).
        let photometric: PixelLayout.Photometric =
            switch layout.photometric {
            case .ybrFull, .ybrFull422: .ybrFull
            case .monochrome1, .monochrome2, .paletteColor: layout.photometric
            case .rgb, .ybrICT, .ybrRCT, .ybrPartial420: .rgb
            }
        return StoredFrame(
            samples: samples, photometric: photometric, bitsStored: stream.precision, highBit: stream.precision - 1)
    }

    /// Decodes a codestream with OpenJPEG.
    ///
    /// - Returns: the reason why it does not decode; `nil` if it does.
    private func decode(_ codestream: ArraySlice<UInt8>, into samples: inout [UInt16], lenient: Bool) -> String? {
        var message = [CChar](repeating: 0, count: Int(CJPEG2000_MESSAGE))
        let status = codestream.withUnsafeBufferPointer { bytes in
            cjpeg2000_decode(
                bytes.baseAddress, bytes.count, UInt32(layout.rows), UInt32(layout.columns), UInt32(layout.samples),
                lenient ? 1 : 0, &samples, &message)
        }
        guard status != CJPEG2000_OK else { return nil }
        let text = String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return text.isEmpty ? "its JPEG 2000 codestream does not decode" : "its JPEG 2000 codestream: \(text)"
    }
}
