// SPDX-License-Identifier: Apache-2.0
//
// _process_batch and the end of _process_crop of segment-anything 1.0's SamAutomaticMaskGenerator, mask by mask: the
// filters do not look at other masks, so that batches do not matter. No network in here.

/// Collects the masks of one crop, from logits and predicted IoU wherever they come from.
public struct CropMasks: Sendable {
    public let crop: MaskCrop
    private let parameters: AutomaticMaskParameters
    private let imageHeight: Int
    private let imageWidth: Int
    private var candidates = [AutomaticMask]()
    private var plane: MaskPlane

    /// - Parameters:
    ///   - height: of the whole image.
    ///   - width: likewise.
    public init(_ crop: MaskCrop, height: Int, width: Int, parameters: AutomaticMaskParameters) {
        self.crop = crop
        self.parameters = parameters
        imageHeight = height
        imageWidth = width
        plane = MaskPlane(height: crop.box.height, width: crop.box.width)
    }

    /// Whether a mask of that predicted IoU can be kept: the others need no logits.
    public func accepts(predictedIoU: Float) -> Bool {
        !(parameters.predictedIoUThreshold > 0) || predictedIoU > Float(parameters.predictedIoUThreshold)
    }

    /// Considers one mask of a point. A crop's points come in their order, each with all its masks.
    ///
    /// - Parameters:
    ///   - point: in pixels of the crop.
    ///   - logits: `[height, width]` of the crop.
    public mutating func consider(_ point: GridPoint, predictedIoU: Float, logits: [Float]) {
        let (height, width) = (crop.box.height, crop.box.width)
        precondition(logits.count == height * width, "the logits have the crop's size")
        consider(point, predictedIoU) { body in
            logits.withUnsafeBufferPointer { values in
                guard let base = values.baseAddress else { return }
                for row in 0..<height { body(row, base + row * width) }
            }
        }
    }

    /// What was found out about a mask whose predicted IoU is good enough.
    package struct Considered {
        let stabilityScore: Float
        /// All filters.
        let passed: Bool
    }

    /// Considers one mask of a point, of which the network gave logits of low resolution.
    ///
    /// - Parameter logits: `[low, low]` as `scaling` takes them.
    /// - Returns: `nil` where predicted IoU drops it.
    @discardableResult
    package mutating func consider(
        _ point: GridPoint, predictedIoU: Float, low logits: UnsafePointer<Float>, _ scaling: LogitScaling
    ) -> Considered? {
        consider(point, predictedIoU) { body in scaling.forEachRow(of: logits, body) }
    }

    /// - Parameter rows: calls its argument with every row of the logits.
    @discardableResult
    private mutating func consider(
        _ point: GridPoint, _ predictedIoU: Float, _ rows: ((Int, UnsafePointer<Float>) -> Void) -> Void
    ) -> Considered? {
        guard accepts(predictedIoU: predictedIoU) else { return nil }
        let (cut, offset) = (parameters.maskThreshold, parameters.stabilityScoreOffset)
        plane.clear(cut: Float(cut), high: Float(cut + offset), low: Float(cut - offset))
        rows { row, logits in plane.add(row, logits) }
        let stability = plane.stabilityScore
        // 0/0 is not at least anything.
        let threshold = parameters.stabilityScoreThreshold
        let dropped = Considered(stabilityScore: stability, passed: false)
        guard !(threshold > 0) || stability >= Float(threshold) else { return dropped }
        let found = plane.box
        let box = (found ?? PixelBox(x0: 0, y0: 0, x1: 0, y1: 0))
        guard !isNearEdge(box) else { return dropped }
        let segmentation = plane.runLengths(
            within: found, atX: crop.box.x0, y: crop.box.y0, of: (imageHeight, imageWidth))
        candidates.append(
            AutomaticMask(
                segmentation: segmentation, box: box, predictedIoU: predictedIoU, point: point,
                stabilityScore: stability, cropBox: crop.box))
        return Considered(stabilityScore: stability, passed: true)
    }

    /// Whether a box, in pixels of the crop, comes near an edge of the crop that is not one of the image.
    private func isNearEdge(_ box: PixelBox) -> Bool {
        let tolerance = 20
        let box = box.moved(byX: crop.box.x0, y: crop.box.y0)
        func near(_ place: Int, _ edge: Int, _ imageEdge: Int) -> Bool {
            abs(place - edge) <= tolerance && abs(place - imageEdge) > tolerance
        }
        return near(box.x0, crop.box.x0, 0) || near(box.y0, crop.box.y0, 0)
            || near(box.x1, crop.box.x1, imageWidth) || near(box.y1, crop.box.y1, imageHeight)
    }

    /// Around the masks that passed the filters, in pixels of the image.
    var boxes: [PixelBox] { candidates.map { $0.box.moved(byX: crop.box.x0, y: crop.box.y0) } }

    /// Which of those stay when of each group of alike ones only the best is kept, best predicted IoU first.
    var kept: [Int] {
        NonMaximumSuppression.kept(
            candidates.map(\.box), scores: candidates.map(\.predictedIoU), threshold: parameters.boxNMSThreshold)
    }

    /// The masks that stay, in their order, in pixels of the image.
    public func finish() -> [AutomaticMask] {
        kept.map { index in
            var mask = candidates[index]
            mask.box = mask.box.moved(byX: crop.box.x0, y: crop.box.y0)
            mask.point = GridPoint(x: mask.point.x + Double(crop.box.x0), y: mask.point.y + Double(crop.box.y0))
            return mask
        }
    }
}
