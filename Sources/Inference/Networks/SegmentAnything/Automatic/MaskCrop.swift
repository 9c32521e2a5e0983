// SPDX-License-Identifier: Apache-2.0

/// A part of an image that is looked at alone, and the points set in it.
public struct MaskCrop: Sendable, Hashable {
    /// In pixels of the image; x1 and y1 are one past the end.
    public let box: PixelBox
    /// 0: the whole image.
    public let layer: Int
    /// In pixels of the crop, in the order of computation.
    public let points: [GridPoint]

    /// The image itself, then the crops of each layer, column by column: generate_crop_boxes of the reference. Crops
    /// without a pixel, which very small images have, are left out.
    ///
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
            // Rounded up, as ceil of a quotient of doubles does for such sizes.
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
