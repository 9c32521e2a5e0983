// SPDX-License-Identifier: Apache-2.0
//
// PNG by libpng's simplified interface, which keeps its long jumps to itself; JPEG by CJPEG.

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
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: path))
        } catch {
            throw .unreadableFile(path: path, reason: error.localizedDescription)
        }
        if data.starts(with: [0x89, 0x50, 0x4e, 0x47]) {
            try self.init(png: data)
        } else if data.starts(with: [0xff, 0xd8]) {
            try self.init(jpeg: data)
        } else {
            throw .unknownFormat
        }
    }

    /// Reads a PNG: palettes become RGB, 16 bits become 8, transparency is laid on black.
    ///
    /// - Throws: `PictureError.damaged`.
    public init(png data: Data) throws(PictureError) {
        var image = png_image()
        image.version = png_uint_32(PNG_IMAGE_VERSION)
        defer { png_image_free(&image) }
        // libpng keeps the address of the bytes from the first call to the last.
        let picture = data.withUnsafeBytes { bytes -> Picture? in
            guard png_image_begin_read_from_memory(&image, bytes.baseAddress, bytes.count) != 0 else { return nil }
            let channels = image.format & png_uint_32(PNG_FORMAT_FLAG_COLOR) != 0 ? 3 : 1
            let (rows, columns) = (Int(image.height), Int(image.width))
            guard rows > 0, columns > 0, rows <= Self.mostSamples / (columns * channels) else { return nil }
            image.format = Self.format(channels: channels)
            var samples = [UInt8](repeating: 0, count: rows * columns * channels)
            var black = png_color()
            guard png_image_finish_read(&image, &black, &samples, 0, nil) != 0 else { return nil }
            return Picture(rows: rows, columns: columns, channels: channels, samples: samples)
        }
        guard let picture else {
            let reason = Self.message(of: image)
            throw .damaged(format: "PNG", reason: reason.isEmpty ? "its size is zero or too large" : reason)
        }
        self = picture
    }

    /// Reads a baseline or progressive JPEG.
    ///
    /// - Throws: `PictureError.damaged`, for truncated files too.
    public init(jpeg data: Data) throws(PictureError) {
        var picture = cjpeg_picture()
        let read = data.withUnsafeBytes {
            cjpeg_read($0.bindMemory(to: UInt8.self).baseAddress, $0.count, Self.mostSamples, &picture)
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

    private static func message(of image: png_image) -> String {
        withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
