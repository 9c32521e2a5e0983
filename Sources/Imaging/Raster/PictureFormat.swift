// SPDX-License-Identifier: Apache-2.0

internal import CPNG
public import Foundation

/// The formats of picture files that can be read.
public enum PictureFormat: String, Sendable, CaseIterable {
    /// Portable Network Graphics (ISO/IEC 15948).
    case png = "PNG"
    /// Baseline or progressive JPEG (ISO/IEC 10918-1).
    case jpeg = "JPEG"

    /// Recognises the format by the first bytes; `nil` for any other file.
    ///
    /// - Parameter data: a file, or its beginning.
    public init?(_ data: Data) {
        if data.starts(with: [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]) {
            self = .png
        } else if data.starts(with: [0xff, 0xd8, 0xff]) {
            self = .jpeg
        } else {
            return nil
        }
    }

    /// Recognises the format of a file by its first eight bytes; `nil` for any other file, or one that cannot be read.
    public init?(ofFile path: String) {
        guard let start = try? FileHandle(forReadingAtPath: path)?.read(upToCount: 8) else { return nil }
        self.init(start)
    }

    /// Reads a whole file.
    static func bytes(of path: String) throws(PictureError) -> Data {
        do {
            return try Data(contentsOf: URL(filePath: path))
        } catch {
            throw .unreadableFile(path: path, reason: error.localizedDescription)
        }
    }
}

extension Frame {
    /// Reads a PNG or JPEG file as a frame.
    ///
    /// A frame has the values of the file: 0...255, or 0...65535 for a grey picture of 16 bits. Colours of 16 bits are
    /// scaled to 0...255, palettes become RGB, and transparency is dropped. Gamma, colour profile and orientation are
    /// ignored.
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - mostBytes: a picture whose samples take more bytes is refused before memory is allocated.
    /// - Throws: `PictureError`.
    public init(picture path: String, mostBytes: Int = 1 << 27) throws(PictureError) {
        let data = try PictureFormat.bytes(of: path)
        switch PictureFormat(data) {
        case .png:
            let file = try PNGFile(data, mostBytes: mostBytes)
            if let bytes = file.bytes {
                self.init(rows: file.rows, columns: file.columns, channels: file.channels, bytes: bytes)
            } else {
                self.init(
                    rows: file.rows, columns: file.columns, channels: file.channels,
                    samples: file.words.map { file.channels == 1 ? Float($0) : (Float($0) / 257).rounded() })
            }
        case .jpeg:
            self = try Picture(jpeg: data, mostBytes: mostBytes).frame
        case nil:
            throw .unknownFormat
        }
    }
}

/// The samples of a PNG, `[rows, columns, channels]`, of 8 or 16 bits.
struct PNGFile {
    let rows: Int
    let columns: Int
    /// 1 (grey) or 3 (RGB).
    let channels: Int
    /// Samples of 8 bits; `nil` if the file has 16 bits.
    let bytes: [UInt8]?
    /// Samples of 16 bits; empty if the file has 8 bits.
    let words: [UInt32]

    /// Decodes a file.
    ///
    /// - Parameters:
    ///   - data: the file.
    ///   - mostBytes: a picture whose samples take more bytes is refused before memory is allocated.
    /// - Throws: `PictureError.damaged`.
    init(_ data: Data, mostBytes: Int) throws(PictureError) {
        var picture = cpng_picture()
        let read = data.withUnsafeBytes {
            cpng_read($0.bindMemory(to: UInt8.self).baseAddress, $0.count, mostBytes, &picture)
        }
        guard read != 0, let samples = picture.samples else {
            let reason = withUnsafeBytes(of: &picture.message) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw .damaged(format: "PNG", reason: reason)
        }
        defer { free(samples) }
        (rows, columns, channels) = (Int(picture.rows), Int(picture.columns), Int(picture.channels))
        let count = rows * columns * channels
        if picture.depth == 8 {
            bytes = Array(UnsafeRawBufferPointer(start: samples, count: count))
            words = []
        } else {
            bytes = nil
            words = UnsafeBufferPointer(start: samples.assumingMemoryBound(to: UInt16.self), count: count)
                .map(UInt32.init)
        }
    }
}
