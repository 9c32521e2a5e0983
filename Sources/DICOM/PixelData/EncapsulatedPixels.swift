// SPDX-License-Identifier: Apache-2.0
//
// Compressed pixel data: fragments to frames (PS3.5 A.4), and each frame to stored values.

import CDCMTK

/// Compressed Pixel Data of one instance.
struct EncapsulatedPixels {
    let layout: PixelLayout
    let syntax: TransferSyntax
    let data: DataSet
    /// For each frame, the byte ranges of its fragments.
    let frames: [[Range<Int>]]

    /// Finds the fragments of each frame.
    ///
    /// - Throws: `PixelDataError.inconsistent` if Pixel Data is not in fragments, or if they cannot be assigned to
    ///   frames.
    init(_ layout: PixelLayout, syntax: TransferSyntax, in data: DataSet) throws(PixelDataError) {
        self.layout = layout
        self.syntax = syntax
        self.data = data
        guard let all = data.fragments(), all.count >= 2 else {
            throw .inconsistent(reason: "Pixel Data has no fragments although its transfer syntax compresses")
        }
        frames = try Self.frames(
            of: Array(all.dropFirst()), offsetTable: data.bytes[all[0]], count: layout.frames, bytes: data.bytes)
    }

    /// Assigns fragments to frames: one each, or by the basic offset table, or by the starts of JPEG streams.
    private static func frames(
        of fragments: [Range<Int>], offsetTable: UnsafeRawBufferPointer, count: Int, bytes: FileBytes
    ) throws(PixelDataError) -> [[Range<Int>]] {
        if count == 1 { return [fragments] }
        if fragments.count == count { return fragments.map { [$0] } }
        guard fragments.count > count else {
            throw .inconsistent(reason: "there are \(count) frames and only \(fragments.count) fragments")
        }
        var starts: [Int]
        if offsetTable.count == 4 * count {
            let base = fragments[0].lowerBound
            var indices: [Int: Int] = [:]
            for (index, fragment) in fragments.enumerated() { indices[fragment.lowerBound - base] = index }
            starts = (0..<count).compactMap {
                indices[Int(UInt32(littleEndian: offsetTable.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))]
            }
        } else {
            starts = fragments.indices.filter { bytes[fragments[$0]].starts(with: [0xFF, 0xD8]) }
        }
        guard starts.count == count, starts[0] == 0, zip(starts, starts.dropFirst()).allSatisfy(<) else {
            throw .inconsistent(
                reason: "the \(fragments.count) fragments cannot be assigned to \(count) frames")
        }
        return zip(starts, starts.dropFirst() + [fragments.count]).map { Array(fragments[$0..<$1]) }
    }

    /// Decompresses one frame.
    ///
    /// - Parameter index: counted from 0.
    /// - Returns: colour by pixel.
    /// - Throws: `PixelDataError.frame` with the number of the frame.
    func frame(_ index: Int) throws(PixelDataError) -> StoredFrame {
        var compressed: [UInt8] = []
        compressed.reserveCapacity(frames[index].reduce(0) { $0 + $1.count })
        for fragment in frames[index] { compressed += data.bytes[fragment] }
        guard syntax == .rleLossless else { return try jpegFrame(compressed, number: index + 1) }
        do {
            let samples = try RLEDecoder.decode(
                compressed, segmentLength: layout.pixels, samples: layout.samples,
                bytesPerSample: layout.bytesPerSample)
            return StoredFrame(
                samples: samples, photometric: layout.photometric == .ybrFull422 ? .ybrFull : layout.photometric,
                bitsStored: layout.bitsStored, highBit: layout.highBit)
        } catch {
            throw .frame(number: index + 1, reason: error.reason)
        }
    }

    private func jpegFrame(_ compressed: [UInt8], number: Int) throws(PixelDataError) -> StoredFrame {
        let stream: JPEGStream
        do { stream = try JPEGStream.read(compressed) } catch { throw .frame(number: number, reason: error.reason) }
        guard stream.rows == layout.rows, stream.columns == layout.columns,
            stream.componentIdentifiers.count == layout.samples
        else {
            throw .frame(
                number: number,
                reason: "its JPEG stream is \(stream.rows) x \(stream.columns) x \(stream.componentIdentifiers.count), "
                    + "the image \(layout.rows) x \(layout.columns) x \(layout.samples)")
        }
        guard (2...layout.bitsAllocated).contains(stream.precision) else {
            throw .frame(
                number: number,
                reason: "its JPEG stream has \(stream.precision) bits, the image \(layout.bitsAllocated)")
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
