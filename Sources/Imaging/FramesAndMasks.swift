// SPDX-License-Identifier: Apache-2.0

/// A plane of pixels for a segmenter.
///
/// A frame does not identify the patient.
///
/// One channel holds modality units, after rescale, with MONOCHROME1 inverted so that a larger value is brighter. Three
/// channels hold RGB, 0...255.
public struct Frame: Sendable {
    /// The number of rows.
    public let rows: Int
    /// The number of columns.
    public let columns: Int
    /// 1 (grey) or 3 (RGB).
    public let channels: Int
    /// `[rows, columns, channels]`, row-major.
    public let samples: Samples
    /// `[rows, columns]`, 1 for a pixel that is not part of the image (PS3.3 C.7.5.1.1.2); empty if all pixels are.
    public let padding: [UInt8]

    /// Makes a frame of `rows * columns * channels` samples, and of `rows * columns` values of padding or none.
    public init(rows: Int, columns: Int, channels: Int, samples: [Float], padding: [UInt8] = []) {
        self.init(rows: rows, columns: columns, channels: channels, samples: Samples(samples), padding: padding)
    }

    /// Makes a frame of `rows * columns * channels` samples that are whole numbers of 0...255.
    public init(rows: Int, columns: Int, channels: Int, bytes: [UInt8]) {
        self.init(rows: rows, columns: columns, channels: channels, samples: Samples(bytes: bytes), padding: [])
    }

    private init(rows: Int, columns: Int, channels: Int, samples: Samples, padding: [UInt8]) {
        precondition(rows > 0 && columns > 0 && (channels == 1 || channels == 3), "a frame has pixels, grey or RGB")
        precondition(samples.count == rows * columns * channels, "samples are [rows, columns, channels]")
        precondition(padding.isEmpty || padding.count == rows * columns, "padding is [rows, columns]")
        self.rows = rows
        self.columns = columns
        self.channels = channels
        self.samples = samples
        self.padding = padding
    }

    /// The frame with padded pixels as background.
    public var withPaddingAsBackground: Frame {
        guard !padding.isEmpty, channels == 1 else { return self }
        return Frame(
            rows: rows, columns: columns, channels: channels,
            samples: Padding.asBackground(samples.floats, padding), padding: padding)
    }
}

/// Pixels that are not part of an image.
public enum Padding {
    /// Gives padded pixels the value of background: the least of the other values, and at most 0.
    ///
    /// Such a value takes no part in statistics of positive values, and is neither brighter nor darker than the image.
    ///
    /// - Parameters:
    ///   - values: modality units.
    ///   - padding: 1 for padding, of the same number of pixels; empty if no pixel is padded.
    /// - Returns: the values; all of them 0 if all pixels are padded.
    public static func asBackground(_ values: [Float], _ padding: [UInt8]) -> [Float] {
        guard !padding.isEmpty else { return values }
        var background: Float = 0
        for index in values.indices where padding[index] == 0 { background = min(background, values[index]) }
        return values.indices.map { padding[$0] == 0 ? values[$0] : background }
    }
}

/// A binary plane.
public struct Mask: Sendable, Hashable {
    /// The number of rows.
    public let rows: Int
    /// The number of columns.
    public let columns: Int
    /// `[rows, columns]`, row-major, one byte per pixel: 0 or 1.
    public let pixels: [UInt8]

    /// Makes a mask of `rows * columns` pixels.
    public init(rows: Int, columns: Int, pixels: [UInt8]) {
        precondition(pixels.count == rows * columns, "pixels are [rows, columns]")
        self.rows = rows
        self.columns = columns
        self.pixels = pixels
    }

    /// Makes an empty mask.
    public init(rows: Int, columns: Int) {
        self.init(rows: rows, columns: columns, pixels: [UInt8](repeating: 0, count: rows * columns))
    }

    /// The number of set pixels.
    public var area: Int { pixels.withUnsafeBufferPointer { $0.reduce(0) { $0 + Int($1) } } }
    /// Whether no pixel is set.
    public var isEmpty: Bool {
        pixels.withUnsafeBytes { pixels in
            let words = pixels.count / 8 * 8
            for place in stride(from: 0, to: words, by: 8)
            where pixels.loadUnaligned(fromByteOffset: place, as: UInt64.self) != 0 { return false }
            return pixels[words...].allSatisfy { $0 == 0 }
        }
    }
}

extension Mask {
    /// Sets the pixels whose probability is at least a threshold.
    ///
    /// - Parameters:
    ///   - rows: the number of rows.
    ///   - columns: the number of columns.
    ///   - probabilities: `[rows, columns]`, 0...1; NaN counts as 0.
    ///   - threshold: the smallest probability of a set pixel.
    public init(rows: Int, columns: Int, probabilities: [Float], threshold: Float = 0.5) {
        let pixels = [UInt8](unsafeUninitializedCapacity: probabilities.count) { pixels, filled in
            probabilities.withUnsafeBufferPointer { probabilities in
                for index in probabilities.indices { pixels[index] = probabilities[index] >= threshold ? 1 : 0 }
            }
            filled = probabilities.count
        }
        self.init(rows: rows, columns: columns, pixels: pixels)
    }
}

/// The Dice coefficient: the overlap of two binary answers, 0...1.
public enum Dice {
    /// Computes 2 |A and B| / (|A| + |B|); two empty masks score 1.
    ///
    /// - Parameters:
    ///   - a: values of 0 or 1.
    ///   - b: the same number of values of 0 or 1.
    /// - Returns: 0...1.
    public static func score(_ a: [UInt8], _ b: [UInt8]) -> Double {
        precondition(a.count == b.count, "both masks have the same size")
        var (both, total) = (0, 0)
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                for index in a.indices {
                    both += Int(a[index] & b[index])
                    total += Int(a[index]) + Int(b[index])
                }
            }
        }
        return total == 0 ? 1 : 2 * Double(both) / Double(total)
    }

    /// The coefficient of two masks of one size.
    public static func score(_ a: Mask, _ b: Mask) -> Double { score(a.pixels, b.pixels) }

    /// The coefficient of two stacks of masks, each taken as one volume.
    public static func score(_ a: [Mask], _ b: [Mask]) -> Double {
        score(a.flatMap(\.pixels), b.flatMap(\.pixels))
    }
}
