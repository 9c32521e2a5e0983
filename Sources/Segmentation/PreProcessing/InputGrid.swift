// SPDX-License-Identifier: Apache-2.0

package import Imaging
package import Inference

/// How the pixels of an image lie in the input of a network of one family, and back.
package struct InputGrid: Sendable, Hashable {
    package let family: ModelFamily
    /// Of the image.
    package let rows: Int
    package let columns: Int
    /// Height and width of the network's input.
    package let size: Int
    /// Of the image within the input.
    package let insideRows: Int
    package let insideColumns: Int

    package init(rows: Int, columns: Int, family: ModelFamily, size: Int) {
        self.family = family
        self.rows = rows
        self.columns = columns
        self.size = size
        if family == .medsam || family == .medsamCompact {
            (insideRows, insideColumns) = (size, size)
        } else {
            let transform = SamTransform(height: rows, width: columns, inputSize: size)
            (insideRows, insideColumns) = (transform.resizedHeight, transform.resizedWidth)
        }
    }

    /// Pixels of the input for a pixel of the image, across and down.
    package var scale: (x: Double, y: Double) {
        switch family {
        case .sam: (Double(insideColumns) / Double(columns), Double(insideRows) / Double(rows))
        case .medsam, .medsamCompact: (Double(size) / Double(columns), Double(size) / Double(rows))
        // The reference scales both axes alike, though it rounds the shorter side.
        case .liteMedSAM: (Double(size) / Double(max(rows, columns)), Double(size) / Double(max(rows, columns)))
        }
    }

    /// From pixels of the image; LiteMedSAM's boxes are cut to whole pixels, as its reference does.
    package func input(_ box: Box) -> PromptBox {
        let (x, y) = scale
        let corners = [box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y]
            .map { Float(family == .liteMedSAM ? $0.rounded(.towardZero) : $0) }
        return PromptBox(x0: corners[0], y0: corners[1], x1: corners[2], y1: corners[3])
    }

    package func input(_ point: LabeledPoint) -> PromptPoint {
        let (x, y) = scale
        return PromptPoint(
            x: Float(point.x * x), y: Float(point.y * y), label: point.isForeground ? .foreground : .background)
    }

    /// A box moved by an amount on each side (outwards is positive), kept inside the image.
    package func moved(_ box: PromptBox, left: Float, top: Float, right: Float, bottom: Float) -> PromptBox {
        func inside(_ low: Float, _ high: Float, _ end: Int) -> (Float, Float) {
            let (low, high) = (min(max(low, 0), Float(end)), min(max(high, 0), Float(end)))
            // What was shrunk to less than nothing keeps its middle.
            return low <= high ? (low, high) : ((low + high) / 2, (low + high) / 2)
        }
        let (x0, x1) = inside(box.x0 - left, box.x1 + right, insideColumns)
        let (y0, y1) = inside(box.y0 - top, box.y1 + bottom, insideRows)
        return PromptBox(x0: x0, y0: y0, x1: x1, y1: y1)
    }

    package func widened(_ box: PromptBox, by margin: Double) -> PromptBox {
        let margin = Float(margin)
        return moved(box, left: margin, top: margin, right: margin, bottom: margin)
    }

    package func moved(_ point: PromptPoint, x: Float, y: Float) -> PromptPoint {
        PromptPoint(
            x: min(max(point.x + x, 0), Float(insideColumns)), y: min(max(point.y + y, 0), Float(insideRows)),
            label: point.label)
    }

    /// Rows and columns of low-resolution logits that belong to the image, of `size` in all.
    package func inside(lowResolution size: Int) -> (rows: Int, columns: Int) {
        func part(_ inside: Int) -> Int { min(max(1, (inside * size + self.size - 1) / self.size), size) }
        return (part(insideRows), part(insideColumns))
    }
}
