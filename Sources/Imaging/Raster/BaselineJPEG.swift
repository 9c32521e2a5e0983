// SPDX-License-Identifier: Apache-2.0

internal import CJPEG

/// JPEG streams of 8 bits that hold the frames of other formats, such as DICOM.
public enum BaselineJPEG {
    /// Decodes a baseline or progressive stream whose size is known.
    ///
    /// - Parameters:
    ///   - stream: the whole stream.
    ///   - rows: rows of the frame.
    ///   - columns: columns of the frame.
    ///   - channels: components of the stream, 1 or 3.
    ///   - isYBR: whether three components are YCbCr, which become RGB, whatever the markers of the stream say.
    /// - Returns: `[rows, columns, channels]`.
    /// - Throws: `PictureError.damaged` for a stream of another size, or with an error that a decoder can pass over too.
    public static func decode(
        _ stream: [UInt8], rows: Int, columns: Int, channels: Int, isYBR: Bool
    ) throws(PictureError) -> [UInt8] {
        var message = [CChar](repeating: 0, count: Int(CJPEG_MESSAGE))
        var isDecoded = false
        let count = rows * columns * channels
        let samples = [UInt8](unsafeUninitializedCapacity: count) { samples, filled in
            guard let start = samples.baseAddress else { return }
            isDecoded =
                cjpeg_decode(
                    stream, stream.count, Int32(rows), Int32(columns), Int32(channels), isYBR ? 1 : 0, start, &message)
                != 0
            filled = isDecoded ? count : 0
        }
        guard isDecoded else {
            let reason = String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            throw .damaged(format: "JPEG", reason: reason)
        }
        return samples
    }
}
