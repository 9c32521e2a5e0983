// SPDX-License-Identifier: Apache-2.0

/// A mask that was generated, with the fields of segment-anything's records.
public struct AutomaticMask: Sendable, Hashable {
    /// Of the image.
    public var segmentation: RunLengths
    /// Around the mask, its last column and row inside; all 0 around an empty one.
    public var box: PixelBox
    public var predictedIoU: Float
    /// The prompt, in pixels of the image.
    public var point: GridPoint
    public var stabilityScore: Float
    /// The part of the image that the network saw; x1 and y1 are one past the end.
    public var cropBox: PixelBox

    /// Number of pixels in the mask.
    public var area: Int { segmentation.area }

    public init(
        segmentation: RunLengths, box: PixelBox, predictedIoU: Float, point: GridPoint, stabilityScore: Float,
        cropBox: PixelBox
    ) {
        self.segmentation = segmentation
        self.box = box
        self.predictedIoU = predictedIoU
        self.point = point
        self.stabilityScore = stabilityScore
        self.cropBox = cropBox
    }
}

extension [AutomaticMask] {
    /// The masks of all crops of an image, without those that several crops found, and without small regions.
    ///
    /// - Parameters:
    ///   - crops: what `CropMasks.finish` gave for each, in the order of `MaskCrop.all`.
    ///   - parameters: those of the crops.
    public init(of crops: [[AutomaticMask]], parameters: AutomaticMaskParameters) {
        self = crops.flatMap { $0 }
        if crops.count > 1 {
            let scores = map { 1 / Float($0.cropBox.width * $0.cropBox.height) }
            let kept = NonMaximumSuppression.kept(
                map(\.box), scores: scores, threshold: parameters.cropNMSThreshold)
            self = kept.map { self[$0] }
        }
        if parameters.minimumRegionArea > 0 {
            let threshold = Swift.max(parameters.boxNMSThreshold, parameters.cropNMSThreshold)
            self = withoutSmallRegions(below: parameters.minimumRegionArea, threshold: threshold)
        }
    }

    /// Removes small regions; of masks that thereby became alike those stay that had none.
    private func withoutSmallRegions(below area: Int, threshold: Double) -> [AutomaticMask] {
        var changed = [Bool]()
        let cleaned = map { mask in
            var mask = mask
            let (height, width) = (mask.segmentation.height, mask.segmentation.width)
            var pixels = mask.segmentation.pixels
            changed.append(SmallRegions.remove(below: area, from: &pixels, height: height, width: width))
            if changed.last == true {
                let plane = MaskPlane(height: height, width: width, pixels: pixels)
                mask.segmentation = RunLengths(height: height, width: width, pixels: pixels)
                mask.box = plane.box ?? PixelBox(x0: 0, y0: 0, x1: 0, y1: 0)
            }
            return mask
        }
        let kept = NonMaximumSuppression.kept(
            cleaned.map(\.box), scores: changed.map { $0 ? 0 : 1 }, threshold: threshold)
        return kept.map { cleaned[$0] }
    }
}
