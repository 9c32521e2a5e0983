// SPDX-License-Identifier: Apache-2.0

/// A crop of an image that is embedded on its own, and the points set in it.
public struct MaskCrop: Sendable, Hashable {
    /// The crop in pixels of the image; x1 and y1 are one past the end.
    public let box: PixelBox
    /// The layer of the crop; layer 0 is the whole image.
    public let layer: Int
    /// The point prompts in pixels of the crop, in the order of computation.
    public let points: [GridPoint]

    /// The whole image, then the crops of each layer, column by column.
    ///
    /// This is generate_crop_boxes of the reference. Very small images would have crops without a
    /// pixel; these are left out.
    ///
    /// - Parameters:
    ///   - height: the height of the image.
    ///   - width: the width of the image.
    ///   - parameters: the parameters of the generation.
    /// - Returns: the crops in the order of computation.
    /// - Throws: `AutomaticMaskError.parameter`.
    public static func all(
        height: Int, width: Int, parameters: AutomaticMaskParameters
    ) throws(AutomaticMaskError) -> [MaskCrop] {
        precondition(height > 0 && width > 0, "an image has pixels")
        try parameters.check()
        var crops = [MaskCrop(PixelBox(x0: 0, y0: 0, x1: width, y1: height), layer: 0, parameters)]
        for layer in stride(from: 1, through: parameters.cropLayers, by: 1) {
            let side = 1 << layer
            let overlap = Int(parameters.cropOverlapRatio * Double(min(height, width)) * (2 / Double(side)))
            // Integer division rounded up equals the reference's ceil of a quotient of doubles for
            // such sizes.
            let cropWidth = (overlap * (side - 1) + width + side - 1) / side
            let cropHeight = (overlap * (side - 1) + height + side - 1) / side
            for column in 0..<side {
                for row in 0..<side {
                    let (x, y) = ((cropWidth - overlap) * column, (cropHeight - overlap) * row)
                    let box = PixelBox(x0: x, y0: y, x1: min(x + cropWidth, width), y1: min(y + cropHeight, height))
                    if box.width > 0, box.height > 0 { crops.append(MaskCrop(box, layer: layer, parameters)) }
                }
            }
        }
        return crops
    }

    private init(_ box: PixelBox, layer: Int, _ parameters: AutomaticMaskParameters) {
        self.box = box
        self.layer = layer
        points = parameters.grid(layer: layer).map {
            GridPoint(x: $0.x * Double(box.width), y: $0.y * Double(box.height))
        }
    }
}

/// A box of pixels, XYXY.
///
/// A box around a mask includes its last column and row. For a crop, x1 and y1 are one past the
/// end.
public struct PixelBox: Sendable, Hashable, Codable {
    /// The first column.
    public var x0: Int
    /// The first row.
    public var y0: Int
    /// The last column, or one past it.
    public var x1: Int
    /// The last row, or one past it.
    public var y1: Int

    /// Creates a box.
    public init(x0: Int, y0: Int, x1: Int, y1: Int) {
        self.x0 = x0
        self.y0 = y0
        self.x1 = x1
        self.y1 = y1
    }

    /// x1 - x0, as the reference defines it for both kinds of boxes.
    public var width: Int { x1 - x0 }
    /// y1 - y0, as the reference defines it for both kinds of boxes.
    public var height: Int { y1 - y0 }

    /// The box with its origin moved by (x, y).
    func moved(byX x: Int, y: Int) -> PixelBox { PixelBox(x0: x0 + x, y0: y0 + y, x1: x1 + x, y1: y1 + y) }
}

/// A point of an image, in pixels, or in fractions of the image's extents if it belongs to a grid.
public struct GridPoint: Sendable, Hashable, Codable {
    /// The position along a row.
    public var x: Double
    /// The position along a column.
    public var y: Double

    /// Creates a point.
    public init(x: Double, y: Double) {
        self.x = x
        self.y = y
    }
}
