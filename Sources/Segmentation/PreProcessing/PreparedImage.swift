// SPDX-License-Identifier: Apache-2.0
//
// What goes into a network of the SAM family. They prepare pictures in different ways, and a network that gets another
// one's input answers wrongly, without an error:
//
// - SAM: longest side by Pillow's bilinear, ImageNet's mean and deviation, then zeros right and below.
// - MedSAM: stretched to a square by a cubic spline, cut to whole grey levels, least to greatest as 0...1.
// - LiteMedSAM: longest side by OpenCV's area means, least to greatest as 0...1, then zeros right and below.
// - medsam-compact (training/recipes/medsam_compact.py): stretched to a square as training/recipes/resize.py does,
//   ImageNet's mean and deviation.

package import Inference

/// An image as the network's input, and how the two lie to each other.
package struct PreparedImage: Sendable {
    /// `[1, size, size, 3]`.
    package let input: Tensor
    package let grid: InputGrid

    /// - Parameter size: height and width of the network's input.
    package init(_ image: ByteImage, family: ModelFamily, size: Int) {
        grid = InputGrid(rows: image.rows, columns: image.columns, family: family, size: size)
        let (rows, columns) = (grid.insideRows, grid.insideColumns)
        let colour = image.colour
        let values: [Float]
        switch family {
        case .sam:
            let resized = PillowResize.resize(colour, rows: rows, columns: columns)
            values = resized.values.enumerated().map { (Float($1) - Self.mean[$0 % 3]) / Self.deviation[$0 % 3] }
        case .medsam:
            // The spline runs on one channel where all three are the same.
            let spline = SplineResize.resize(image, rows: rows, columns: columns).map { UInt8($0) }
            let resized = ByteImage(rows: rows, columns: columns, channels: image.channels, values: spline)
            values = Self.minMax(resized.colour.values)
        case .medsamCompact:
            let resized = Resampling.resize(
                colour.values.map(Float.init), from: [image.rows, image.columns], to: [rows, columns], kept: 3)
            values = resized.enumerated().map { ($1 - Self.mean[$0 % 3]) / Self.deviation[$0 % 3] }
        case .liteMedSAM:
            values = Self.minMax(AreaResize.resize(colour, rows: rows, columns: columns).values)
        }
        input = Self.padded(values, rows, columns, size)
    }

    /// Of ImageNet, for values of 0...255.
    private static let mean: [Float] = [123.675, 116.28, 103.53]
    private static let deviation: [Float] = [58.395, 57.12, 57.375]

    /// Least to greatest of all channels as 0...1.
    private static func minMax(_ values: [UInt8]) -> [Float] {
        let (least, greatest) = (Double(values.min() ?? 0), Double(values.max() ?? 0))
        let range = max(greatest - least, 1e-8)
        let table = (0...255).map { Float((Double($0) - least) / range) }
        return values.map { table[Int($0)] }
    }

    private static func padded(_ values: [Float], _ rows: Int, _ columns: Int, _ size: Int) -> Tensor {
        guard rows < size || columns < size else { return Tensor(shape: [1, size, size, 3], values: values) }
        var square = [Float](repeating: 0, count: size * size * 3)
        for row in 0..<rows {
            let line = values[row * columns * 3..<(row + 1) * columns * 3]
            square.replaceSubrange(row * size * 3..<(row * size + columns) * 3, with: line)
        }
        return Tensor(shape: [1, size, size, 3], values: square)
    }
}
