// SPDX-License-Identifier: Apache-2.0
//
// Pillow's resize of 8-bit pictures (Resample.c, `ImagingResample` with 8 bits per channel): a filter
// that is widened for shrinking, with weights rounded to 22 bits. It runs along the rows first and
// stores bytes in between.
//
// The result equals Pillow's bit for bit, with one exception. Pillow 13 resizes pictures more than
// twice as high as wide down the columns first. Some of their pixels differ by one grey level.

/// `PIL.Image.resize(size, filter)`.
package enum PillowResize {
    private static let precision = 22

    /// A filter of Pillow.
    package enum Filter: Sendable {
        /// A triangle.
        case bilinear
        /// Keys' cubic with a = -0.5.
        case bicubic

        /// Pixels on each side that take part when a picture is enlarged.
        fileprivate var support: Double { self == .bilinear ? 1 : 2 }

        /// The weight of a pixel at a distance of 0 or more.
        fileprivate func weight(_ x: Double) -> Double {
            switch self {
            case .bilinear: max(0, 1 - x)
            case .bicubic where x < 1: (1.5 * x - 2.5) * x * x + 1
            case .bicubic where x < 2: (((x - 5) * x + 8) * x - 4) * -0.5
            case .bicubic: 0
            }
        }
    }

    /// Resizes a picture to `rows` x `columns`.
    package static func resize(
        _ image: ByteImage, rows: Int, columns: Int, filter: Filter = .bilinear
    ) -> ByteImage {
        let channels = image.channels
        var values = image.values
        if columns != image.columns {
            values = Weights(from: image.columns, to: columns, filter)
                .apply(values, outer: image.rows, inner: channels)
        }
        if rows != image.rows {
            values = Weights(from: image.rows, to: rows, filter).apply(values, outer: 1, inner: columns * channels)
        }
        return ByteImage(rows: rows, columns: columns, channels: channels, values: values)
    }

    /// The weights of one axis.
    ///
    /// Output `i` is the weighted sum of `counts[i]` inputs from `firsts[i]` on.
    private struct Weights {
        let inputCount: Int
        let outputCount: Int
        var firsts = [Int]()
        var counts = [Int]()
        /// `[outputCount, stride]`, in units of 2^-22.
        var weights: [Int32]
        let stride: Int

        init(from inputCount: Int, to outputCount: Int, _ filter: Filter) {
            self.inputCount = inputCount
            self.outputCount = outputCount
            let scale = Double(inputCount) / Double(outputCount)
            let widening = max(scale, 1)
            let support = filter.support * widening
            stride = Int(support.rounded(.up)) * 2 + 1
            weights = [Int32](repeating: 0, count: outputCount * stride)
            for i in 0..<outputCount {
                let centre = (Double(i) + 0.5) * scale
                let first = max(Int(centre - support + 0.5), 0)
                let count = min(Int(centre + support + 0.5), inputCount) - first
                let band = (0..<count).map { filter.weight(abs((Double($0 + first) - centre + 0.5) / widening)) }
                let sum = band.reduce(0, +)
                for (offset, weight) in band.enumerated() {
                    let scaled = weight / sum * Double(1 << precision)
                    weights[i * stride + offset] = Int32(scaled < 0 ? scaled - 0.5 : scaled + 0.5)
                }
                firsts.append(first)
                counts.append(count)
            }
        }

        /// Resamples the middle axis of `[outer, inputCount, inner]`.
        func apply(_ values: [UInt8], outer: Int, inner: Int) -> [UInt8] {
            [UInt8](unsafeUninitializedCapacity: outer * outputCount * inner) { output, filled in
                values.withUnsafeBufferPointer { input in
                    weights.withUnsafeBufferPointer { weights in
                        var sums = [Int32](repeating: 0, count: inner)
                        for line in 0..<outer {
                            for i in 0..<outputCount {
                                for index in sums.indices { sums[index] = 1 << (precision - 1) }
                                for offset in 0..<counts[i] {
                                    let weight = weights[i * stride + offset]
                                    let start = (line * inputCount + firsts[i] + offset) * inner
                                    for index in 0..<inner { sums[index] &+= Int32(input[start + index]) &* weight }
                                }
                                let start = (line * outputCount + i) * inner
                                for index in 0..<inner {
                                    output[start + index] = UInt8(min(max(sums[index] >> precision, 0), 255))
                                }
                            }
                        }
                    }
                }
                filled = output.count
            }
        }
    }
}
