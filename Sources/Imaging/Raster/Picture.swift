// SPDX-License-Identifier: Apache-2.0
//
// Pictures in memory and in files. PNG is read and written by CPNG, JPEG is read by CJPEG.

internal import CJPEG
internal import CPNG
public import Foundation

/// A picture of 8 bits per sample, for people or files.
public struct Picture: Sendable, Hashable {
    /// The number of rows.
    public let rows: Int
    /// The number of columns.
    public let columns: Int
    /// 1 (grey) or 3 (RGB).
    public let channels: Int
    /// `[rows, columns, channels]`.
    public let samples: [UInt8]

    /// Makes a picture of `rows * columns * channels` samples.
    public init(rows: Int, columns: Int, channels: Int, samples: [UInt8]) {
        precondition(rows > 0 && columns > 0 && (channels == 1 || channels == 3), "a picture has pixels, grey or RGB")
        precondition(samples.count == rows * columns * channels, "samples are [rows, columns, channels]")
        self.rows = rows
        self.columns = columns
        self.channels = channels
        self.samples = samples
    }

    /// The picture as a frame, with the same values.
    public var frame: Frame {
        Frame(rows: rows, columns: columns, channels: channels, bytes: samples)
    }

    /// The mask of the pixels that are brighter than `level` in the mean of their channels.
    public func mask(above level: UInt8) -> Mask {
        let pixels = (0..<rows * columns).map { pixel -> UInt8 in
            let sum = (0..<channels).reduce(0) { $0 + Int(samples[pixel * channels + $1]) }
            return sum > Int(level) * channels ? 1 : 0
        }
        return Mask(rows: rows, columns: columns, pixels: pixels)
    }
}

extension Picture {
    /// The largest number of samples of a picture that is read: 1 GiB.
    private static let mostSamples = 1 << 30

    /// Reads a PNG or JPEG file; its first bytes identify the format.
    ///
    /// - Throws: `PictureError`.
    public init(path: String) throws(PictureError) {
        let data = try PictureFormat.bytes(of: path)
        switch PictureFormat(data) {
        case .png: try self.init(png: data)
        case .jpeg: try self.init(jpeg: data)
        case nil: throw .unknownFormat
        }
    }

    /// Reads a PNG.
    ///
    /// Palettes become RGB, 16 bits become 8, and transparency is dropped.
    ///
    /// - Throws: `PictureError.damaged`.
    public init(png data: Data) throws(PictureError) {
        let file = try PNGFile(data, mostBytes: Self.mostSamples)
        let samples = file.bytes ?? file.words.map { UInt8(($0 + 128) / 257) }
        self.init(rows: file.rows, columns: file.columns, channels: file.channels, samples: samples)
    }

    /// Reads a baseline or progressive JPEG.
    ///
    /// - Throws: `PictureError.damaged`, also for a truncated file.
    public init(jpeg data: Data) throws(PictureError) {
        try self.init(jpeg: data, mostBytes: Self.mostSamples)
    }

    /// Reads a JPEG of limited size.
    ///
    /// - Parameters:
    ///   - data: the file.
    ///   - mostBytes: a picture with more samples is refused before memory is allocated.
    /// - Throws: `PictureError.damaged`.
    init(jpeg data: Data, mostBytes: Int) throws(PictureError) {
        var picture = cjpeg_picture()
        let read = data.withUnsafeBytes {
            cjpeg_read($0.bindMemory(to: UInt8.self).baseAddress, $0.count, mostBytes, &picture)
        }
        guard read != 0, let samples = picture.samples else {
            let reason = withUnsafeBytes(of: &picture.message) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw .damaged(format: "JPEG", reason: reason)
        }
        defer { free(samples) }
        let (rows, columns, channels) = (Int(picture.rows), Int(picture.columns), Int(picture.channels))
        self.init(
            rows: rows, columns: columns, channels: channels,
            samples: Array(UnsafeBufferPointer(start: samples, count: rows * columns * channels)))
    }

    /// The picture as the bytes of a PNG file.
    public func png() -> Data {
        var count = 0
        guard let bytes = cpng_write(samples, Int32(rows), Int32(columns), Int32(channels), &count) else {
            preconditionFailure("there is memory for a picture of \(samples.count) bytes")
        }
        return Data(bytesNoCopy: bytes, count: count, deallocator: .free)
    }

    /// Writes a PNG file.
    ///
    /// A file of that name is replaced.
    ///
    /// - Throws: `PictureError.unwritable`.
    public func writePNG(to path: String) throws(PictureError) {
        do {
            try png().write(to: URL(filePath: path))
        } catch {
            throw .unwritable(path: path, reason: error.localizedDescription)
        }
    }
}

/// The reason why a picture could not be read or written.
public enum PictureError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The system could not read the file.
    case unreadableFile(path: String, reason: String)
    /// The file has the signature of a format, but does not decode.
    case damaged(format: String, reason: String)
    /// The system could not write the file.
    case unwritable(path: String, reason: String)
    /// The file has neither a PNG nor a JPEG signature.
    case unknownFormat

    /// The mistake and its place.
    public var description: String {
        switch self {
        case .unreadableFile(let path, let reason): "could not read \(path): \(reason)"
        case .damaged(let format, let reason): "could not decode the \(format) picture: \(reason)"
        case .unwritable(let path, let reason): "could not write \(path): \(reason)"
        case .unknownFormat: "the file is neither a PNG nor a JPEG picture"
        }
    }
}
