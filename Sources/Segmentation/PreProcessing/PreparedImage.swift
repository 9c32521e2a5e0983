// SPDX-License-Identifier: Apache-2.0
//
// The input of networks of the SAM family. The families prepare pictures in different ways. A
// network that gets the input of another family gives a wrong answer without an error:
//
// - SAM: longest side by Pillow's bilinear, ImageNet's mean and deviation, then zeros right and
//   below.
// - MedSAM: stretched to a square by a cubic spline, cut to whole grey levels, least to greatest as
//   0...1.
// - LiteMedSAM: longest side by OpenCV's area means, least to greatest as 0...1, then zeros right
//   and below.
// - medsam-compact (training/recipes/medsam_compact.py): stretched to a square as
//   training/recipes/resize.py does, ImageNet's mean and deviation.

package import Imaging
package import Inference

/// An image as the network's input, and the mapping between their pixels.
package struct PreparedImage: Sendable {
    /// `[1, size, size, 3]`.
    package let input: Tensor
    /// The mapping between pixels of the image and of the input.
    package let grid: InputGrid

    /// Prepares a picture as the family's reference does.
    ///
    /// - Parameters:
    ///   - image: 1 or 3 channels.
    ///   - family: the family of the network.
    ///   - size: height and width of the network's input.
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
            // Grey is repeated after the spline, which then runs on one channel.
            let spline = SplineResize.resize(image, rows: rows, columns: columns).map { UInt8($0) }
            let resized = ByteImage(rows: rows, columns: columns, channels: image.channels, values: spline)
            values = Self.minMax(resized.colour.values)
        case .medsamCompact, .sam2, .medsam2, .medsam2Compact:
            let resized = Resampling.resize(
                colour.values.map(Float.init), from: [image.rows, image.columns], to: [rows, columns], kept: 3)
            values = resized.enumerated().map { ($1 - Self.mean[$0 % 3]) / Self.deviation[$0 % 3] }
        case .liteMedSAM:
            values = Self.minMax(AreaResize.resize(colour, rows: rows, columns: columns).values)
        }
        input = Self.padded(values, rows, columns, size)
    }

    /// ImageNet's mean for values of 0...255, by channel.
    private static let mean: [Float] = [123.675, 116.28, 103.53]
    /// ImageNet's standard deviation for values of 0...255, by channel.
    private static let deviation: [Float] = [58.395, 57.12, 57.375]

    /// The values scaled so that the least of all channels becomes 0 and the greatest 1.
    private static func minMax(_ values: [UInt8]) -> [Float] {
        let (least, greatest) = (Double(values.min() ?? 0), Double(values.max() ?? 0))
        let range = max(greatest - least, 1e-8)
        let table = (0...255).map { Float((Double($0) - least) / range) }
        return values.map { table[Int($0)] }
    }

    /// The values with zeros right and below, `[1, size, size, 3]`.
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

/// The mapping between pixels of an image and pixels of a network's input.
package struct InputGrid: Sendable, Hashable {
    /// The network's family, which decides the mapping.
    package let family: ModelFamily
    /// Rows of the image.
    package let rows: Int
    /// Columns of the image.
    package let columns: Int
    /// Height and width of the network's input.
    package let size: Int
    /// Rows of the input that show the image.
    package let insideRows: Int
    /// Columns of the input that show the image.
    package let insideColumns: Int

    /// The mapping for an image of `rows` x `columns` pixels and an input of `size` x `size`.
    package init(rows: Int, columns: Int, family: ModelFamily, size: Int) {
        self.family = family
        self.rows = rows
        self.columns = columns
        self.size = size
        switch family {
        case .medsam, .medsamCompact, .sam2, .medsam2, .medsam2Compact: (insideRows, insideColumns) = (size, size)
        case .sam, .liteMedSAM:
            let transform = SamTransform(height: rows, width: columns, inputSize: size)
            (insideRows, insideColumns) = (transform.resizedHeight, transform.resizedWidth)
        }
    }

    /// Pixels of the input per pixel of the image, across and down.
    package var scale: (x: Double, y: Double) {
        switch family {
        case .sam: (Double(insideColumns) / Double(columns), Double(insideRows) / Double(rows))
        case .medsam, .medsamCompact, .sam2, .medsam2, .medsam2Compact:
            (Double(size) / Double(columns), Double(size) / Double(rows))
        // The reference scales both axes by one factor, although it rounds the shorter side.
        case .liteMedSAM: (Double(size) / Double(max(rows, columns)), Double(size) / Double(max(rows, columns)))
        }
    }

    /// Converts a box from pixels of the image.
    ///
    /// LiteMedSAM's boxes are cut to whole pixels, as in its reference.
    package func input(_ box: Box) -> PromptBox {
        let (x, y) = scale
        let corners = [box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y]
            .map { Float(family == .liteMedSAM ? $0.rounded(.towardZero) : $0) }
        return PromptBox(x0: corners[0], y0: corners[1], x1: corners[2], y1: corners[3])
    }

    /// Converts a point from pixels of the image.
    package func input(_ point: LabeledPoint) -> PromptPoint {
        let (x, y) = scale
        return PromptPoint(
            x: Float(point.x * x), y: Float(point.y * y), label: point.isForeground ? .foreground : .background)
    }

    /// Moves the sides of a box outwards, in pixels of the input.
    ///
    /// The result stays inside the image.
    package func moved(_ box: PromptBox, left: Float, top: Float, right: Float, bottom: Float) -> PromptBox {
        func inside(_ low: Float, _ high: Float, _ end: Int) -> (Float, Float) {
            let (low, high) = (min(max(low, 0), Float(end)), min(max(high, 0), Float(end)))
            // A side that shrinks below zero becomes the middle of the box.
            return low <= high ? (low, high) : ((low + high) / 2, (low + high) / 2)
        }
        let (x0, x1) = inside(box.x0 - left, box.x1 + right, insideColumns)
        let (y0, y1) = inside(box.y0 - top, box.y1 + bottom, insideRows)
        return PromptBox(x0: x0, y0: y0, x1: x1, y1: y1)
    }

    /// Moves all sides of a box outwards by `margin` pixels of the input.
    ///
    /// The result stays inside the image.
    package func widened(_ box: PromptBox, by margin: Double) -> PromptBox {
        let margin = Float(margin)
        return moved(box, left: margin, top: margin, right: margin, bottom: margin)
    }

    /// Moves a point by pixels of the input.
    ///
    /// The result stays inside the image.
    package func moved(_ point: PromptPoint, x: Float, y: Float) -> PromptPoint {
        PromptPoint(
            x: min(max(point.x + x, 0), Float(insideColumns)), y: min(max(point.y + y, 0), Float(insideRows)),
            label: point.label)
    }

    /// Rows and columns that belong to the image, of low-resolution logits with a height and width
    /// of `size`.
    package func inside(lowResolution size: Int) -> (rows: Int, columns: Int) {
        func part(_ inside: Int) -> Int { min(max(1, (inside * size + self.size - 1) / self.size), size) }
        return (part(insideRows), part(insideColumns))
    }
}
