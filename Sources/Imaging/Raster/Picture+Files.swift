// SPDX-License-Identifier: Apache-2.0
//
// PNG is written by libpng's simplified interface, which keeps its long jumps to itself, and read by CPNG; JPEG is read by
// CJPEG.

internal import CJPEG
internal import CPNG
public import Foundation

extension Picture {
    /// Pictures with more samples than this are refused: 1 GiB.
    static let mostSamples = 1 << 30

    /// Reads a PNG or JPEG file, told apart by its first bytes.
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

    /// Reads a PNG: palettes become RGB, 16 bits become 8, transparency is dropped.
    ///
    /// - Throws: `PictureError.damaged`.
    public init(png data: Data) throws(PictureError) {
        let file = try PNGFile(data, mostBytes: Self.mostSamples)
        let samples = file.bytes ?? file.words.map { UInt8(($0 + 128) / 257) }
        self.init(rows: file.rows, columns: file.columns, channels: file.channels, samples: samples)
    }

    /// Reads a baseline or progressive JPEG.
    ///
    /// - Throws: `PictureError.damaged`, for truncated files too.
    public init(jpeg data: Data) throws(PictureError) {
        try self.init(jpeg: data, mostBytes: Self.mostSamples)
    }

    /// - Parameter mostBytes: pictures with more samples are refused before their memory is taken.
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
        var image = png_image()
        image.version = png_uint_32(PNG_IMAGE_VERSION)
        image.width = png_uint_32(columns)
        image.height = png_uint_32(rows)
        image.format = Self.format(channels: channels)
        // Overlays are looked at and thrown away: a third of a segmentation's time would go into smaller files.
        image.flags = png_uint_32(PNG_IMAGE_FLAG_FAST)
        defer { png_image_free(&image) }
        // Room for what does not shrink at all, as PNG_IMAGE_PNG_SIZE_MAX counts it and more: to ask libpng for the size
        // would compress everything twice.
        let filtered = samples.count + rows
        var count = png_alloc_size_t(filtered + filtered / 4 + 4096)
        var data = Data(count: count)
        let written = data.withUnsafeMutableBytes {
            png_image_write_to_memory(&image, $0.baseAddress, &count, 0, samples, 0, nil)
        }
        precondition(written != 0, "libpng writes every picture of valid size into memory")
        return data.prefix(count)
    }

    /// Writes a PNG file, replacing one of that name.
    ///
    /// - Throws: `PictureError.unwritable`.
    public func writePNG(to path: String) throws(PictureError) {
        do {
            try png().write(to: URL(filePath: path))
        } catch {
            throw .unwritable(path: path, reason: error.localizedDescription)
        }
    }

    /// PNG_FORMAT_RGB or PNG_FORMAT_GRAY, which Swift does not see.
    private static func format(channels: Int) -> png_uint_32 {
        channels == 3 ? png_uint_32(PNG_FORMAT_FLAG_COLOR) : 0
    }
}
