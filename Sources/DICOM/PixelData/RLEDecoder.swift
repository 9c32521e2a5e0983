// SPDX-License-Identifier: Apache-2.0
//
// RLE Lossless: PS3.5 Annex G. Kontur does not use DCMTK's decoder, because version 3.6.7 reads past its input.

/// The decoder of RLE Lossless.
package enum RLEDecoder {
    /// The reason why bytes are not a frame in RLE.
    package struct Failure: Error, Hashable {
        var reason: String
    }

    private static let headerLength = 64
    private static let segmentLimit = 15

    /// Decodes one frame.
    ///
    /// - Parameters:
    ///   - bytes: header and segments (G.5).
    ///   - segmentLength: the number of bytes that each segment decodes to: the pixels of the frame.
    ///   - samples: samples per pixel.
    ///   - bytesPerSample: 1 or 2; the segment of the more significant byte comes first (G.2).
    /// - Returns: `[pixels, samples]`.
    /// - Throws: `Failure` if the header is invalid or a segment ends early.
    package static func decode(
        _ bytes: [UInt8], segmentLength: Int, samples: Int, bytesPerSample: Int
    ) throws(Failure) -> [UInt16] {
        try decode(
            bytes, segmentLength: segmentLength, samples: samples, bytesPerSample: bytesPerSample, as: UInt16.self)
    }

    /// Decodes one frame of an image; `Sample` holds a sample as allocated.
    static func decode<Sample: FixedWidthInteger>(
        _ bytes: [UInt8], _ layout: PixelLayout, as type: Sample.Type
    ) throws(Failure) -> [Sample] {
        try decode(
            bytes, segmentLength: layout.pixels, samples: layout.samples, bytesPerSample: layout.bytesPerSample,
            as: type)
    }

    private static func decode<Sample: FixedWidthInteger>(
        _ bytes: [UInt8], segmentLength: Int, samples: Int, bytesPerSample: Int, as type: Sample.Type
    ) throws(Failure) -> [Sample] {
        let segments = try self.segments(of: bytes, expected: samples * bytesPerSample)
        var out = [Sample](repeating: 0, count: segmentLength * samples)
        for sample in 0..<samples {
            for byte in 0..<bytesPerSample {
                let segment = segments[sample * bytesPerSample + byte]
                let plane = try decodeSegment(bytes[segment], length: segmentLength)
                for pixel in 0..<segmentLength {
                    let index = pixel * samples + sample
                    out[index] = out[index] << 8 | Sample(plane[pixel])
                }
            }
        }
        return out
    }

    private static func segments(of bytes: [UInt8], expected: Int) throws(Failure) -> [Range<Int>] {
        guard bytes.count >= headerLength else { throw Failure(reason: "its RLE header is truncated") }
        func number(_ index: Int) -> Int {
            (0..<4).reduce(0) { $0 | Int(bytes[4 * index + $1]) << (8 * $1) }
        }
        let count = number(0)
        guard count == expected, count <= segmentLimit else {
            throw Failure(reason: "it has \(count) RLE segments and should have \(expected)")
        }
        let starts = (1...count).map(number)
        let ends = starts.dropFirst() + [bytes.count]
        var ranges: [Range<Int>] = []
        for (start, end) in zip(starts, ends) {
            guard start >= headerLength, start <= end, end <= bytes.count else {
                throw Failure(reason: "an RLE segment lies outside of the frame")
            }
            ranges.append(start..<end)
        }
        return ranges
    }

    /// Decodes PackBits (G.3.2).
    ///
    /// Every count is checked against the rest of the input and of the output.
    private static func decodeSegment(_ segment: ArraySlice<UInt8>, length: Int) throws(Failure) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: length)
        var filled = 0
        var next = segment.startIndex
        while filled < length {
            guard next < segment.endIndex else { throw Failure(reason: "an RLE segment ends early") }
            let control = Int(Int8(bitPattern: segment[next]))
            next += 1
            if control >= 0 {
                let count = control + 1
                guard count <= segment.endIndex - next else { throw Failure(reason: "an RLE segment ends early") }
                // An encoder's padding may make the last run longer than the segment; the rest of it is dropped.
                let used = min(count, length - filled)
                for i in 0..<used { out[filled + i] = segment[next + i] }
                filled += used
                next += count
            } else if control != -128 {
                guard next < segment.endIndex else { throw Failure(reason: "an RLE segment ends early") }
                let used = min(1 - control, length - filled)
                for i in 0..<used { out[filled + i] = segment[next] }
                filled += used
                next += 1
            }
        }
        return out
    }
}
