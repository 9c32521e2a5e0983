// SPDX-License-Identifier: Apache-2.0
//
// Frames of JPEG and JPEG-LS, which DCMTK decodes: PS3.5 8.2.1, 8.2.3.

import CDCMTK
import Imaging

extension EncapsulatedPixels {
    /// Decodes a frame of JPEG or JPEG-LS.
    ///
    /// A stream without its end is decoded as far as it goes.
    func jpegFrame(_ compressed: [UInt8], number: Int) throws(PixelDataError) -> StoredFrame {
        var compressed = compressed
        let stream: JPEGStream
        do { stream = try JPEGStream.read(compressed) } catch { throw .frame(number: number, reason: error.reason) }
        if stream.isCutOff {
            // DCMTK fills the frame in from an end marker on.
            compressed = compressed.prefix(stream.usable) + [0xFF, 0xD9]
            remarks.add("the JPEG stream of frame \(number) is cut off: the frame was decoded as far as it goes")
        }
        guard stream.rows == layout.rows, stream.columns == layout.columns,
            stream.componentIdentifiers.count == layout.samples
        else {
            throw .frame(
                number: number,
                reason: "its JPEG stream is \(stream.rows) x \(stream.columns) x \(stream.componentIdentifiers.count), "
                    + "the image \(layout.rows) x \(layout.columns) x \(layout.samples)")
        }
        guard stream.precision >= 2, stream.precision <= layout.bitsAllocated else {
            throw .frame(
                number: number,
                reason: "its JPEG stream has \(stream.precision) bits, the image \(layout.bitsAllocated)")
        }
        if let bytes = baseline(compressed, stream) {
            return StoredFrame(samples: [], photometric: .rgb, bitsStored: 8, highBit: 7, bytes: bytes)
        }
        let samples = try decode(compressed, stream, number: number)
        let converted = stream.isYBR(declared: layout.photometric)
        let isDCT = stream.process != .lossless && stream.process != .jpegLS
        let photometric: PixelLayout.Photometric =
            layout.samples == 1 ? layout.photometric : converted && !isDCT ? .ybrFull : .rgb
        let bits = min(layout.bitsStored, stream.precision)
        return StoredFrame(
            samples: samples, photometric: photometric, bitsStored: bits,
            highBit: layout.highBit < stream.precision ? max(layout.highBit, bits - 1) : bits - 1)
    }

    /// Decodes a colour frame of baseline JPEG by libjpeg-turbo, which gives the same samples as DCMTK in a third of the
    /// time.
    ///
    /// - Returns: `nil` for another process or depth, and for a stream with an error, which DCMTK may pass over.
    private func baseline(_ compressed: [UInt8], _ stream: JPEGStream) -> [UInt8]? {
        guard stream.process == .baseline, stream.precision == 8, layout.samples == 3, layout.bitsStored == 8 else {
            return nil
        }
        return try? BaselineJPEG.decode(
            compressed, rows: layout.rows, columns: layout.columns, channels: 3,
            isYBR: stream.isYBR(declared: layout.photometric))
    }

    private func decode(_ compressed: [UInt8], _ stream: JPEGStream, number: Int) throws(PixelDataError) -> [UInt16] {
        let isWide = stream.precision > 8
        let count = layout.pixels * layout.samples
        var decoded = [UInt8](repeating: 0, count: isWide ? 2 * count : count)
        let status = photometricForCodec(stream).withCString { photometric in
            var frame = cdcmtk_frame_layout(
                rows: UInt16(layout.rows), columns: UInt16(layout.columns), samples_per_pixel: UInt16(layout.samples),
                bits_allocated: isWide ? 16 : 8, bits_stored: UInt16(stream.precision),
                is_signed: layout.isSigned ? 1 : 0, photometric_interpretation: photometric)
            return cdcmtk_decode_frame(
                syntaxForCodec(stream).rawValue, &frame, compressed, compressed.count, &decoded, decoded.count)
        }
        guard status == CDCMTK_OK else {
            throw .frame(number: number, reason: String(cString: cdcmtk_last_error()).lowercased())
        }
        guard isWide else { return decoded.map(UInt16.init) }
        return decoded.withUnsafeBytes { bytes in
            (0..<count).map { UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)) }
        }
    }

    /// The photometric interpretation that the codec is given.
    ///
    /// The codec turns YBR into RGB if the process is DCT-based. `SampleInterpretation` converts lossless samples
    /// later.
    private func photometricForCodec(_ stream: JPEGStream) -> String {
        guard layout.samples == 3 else { return PixelLayout.Photometric.monochrome2.rawValue }
        let isDCT = stream.process != .lossless && stream.process != .jpegLS
        let photometric: PixelLayout.Photometric =
            isDCT && stream.isYBR(declared: layout.photometric) ? .ybrFull : .rgb
        return photometric.rawValue
    }

    /// The transfer syntax of the stream's own process: some files name another JPEG process.
    private func syntaxForCodec(_ stream: JPEGStream) -> TransferSyntax {
        switch stream.process {
        case .baseline: stream.precision == 8 ? .jpegBaseline : .jpegExtended
        case .extended: .jpegExtended
        case .progressive: .jpegFullProgression
        case .lossless: .jpegLosslessSV1
        case .jpegLS: syntax == .jpegLSLossless ? .jpegLSLossless : .jpegLSNearLossless
        }
    }
}
