// SPDX-License-Identifier: Apache-2.0
//
// _process_batch and the end of _process_crop of segment-anything 1.0's SamAutomaticMaskGenerator,
// mask by mask. The filters look at one mask at a time, so the size of a batch does not matter.
// This file does not run the network.

/// Collects and filters the masks of one crop.
///
/// Logits and predicted IoU come from the caller.
public struct CropMasks: Sendable {
    /// The crop whose masks are collected.
    public let crop: MaskCrop
    private let parameters: AutomaticMaskParameters
    private let imageHeight: Int
    private let imageWidth: Int
    private var candidates = [AutomaticMask]()
    private var plane: MaskPlane

    /// Creates an empty collection.
    ///
    /// - Parameters:
    ///   - crop: the crop whose masks are collected.
    ///   - height: the height of the whole image.
    ///   - width: the width of the whole image.
    ///   - parameters: the parameters of the filters.
    public init(_ crop: MaskCrop, height: Int, width: Int, parameters: AutomaticMaskParameters) {
        self.crop = crop
        self.parameters = parameters
        imageHeight = height
        imageWidth = width
        plane = MaskPlane(height: crop.box.height, width: crop.box.width)
    }

    /// Whether a mask with this predicted IoU can be kept; other masks do not need logits.
    public func accepts(predictedIoU: Float) -> Bool {
        !(parameters.predictedIoUThreshold > 0) || predictedIoU > Float(parameters.predictedIoUThreshold)
    }

    /// Filters one mask of a point.
    ///
    /// The caller passes the points of a crop in their order, each with all its masks.
    ///
    /// - Parameters:
    ///   - point: the point, in pixels of the crop.
    ///   - predictedIoU: the mask's predicted IoU.
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

    /// The result of the filters behind the predicted IoU.
    package struct Considered {
        let stabilityScore: Float
        /// Whether the mask passed all filters.
        let passed: Bool
    }

    /// Filters one mask of a point, given as low-resolution logits.
    ///
    /// - Parameters:
    ///   - point: the point, in pixels of the crop.
    ///   - predictedIoU: the mask's predicted IoU.
    ///   - logits: `[low, low]`, as `scaling` takes them.
    ///   - scaling: enlarges the logits to the crop.
    /// - Returns: the result of the filters, or `nil` if the predicted IoU is too low.
    @discardableResult
    package mutating func consider(
        _ point: GridPoint, predictedIoU: Float, low logits: UnsafePointer<Float>, _ scaling: LogitScaling
    ) -> Considered? {
        consider(point, predictedIoU) { body in scaling.forEachRow(of: logits, body) }
    }

    /// Filters one mask of a point; `rows` calls its argument with every row of the crop's logits.
    @discardableResult
    private mutating func consider(
        _ point: GridPoint, _ predictedIoU: Float, _ rows: ((Int, UnsafePointer<Float>) -> Void) -> Void
    ) -> Considered? {
        guard accepts(predictedIoU: predictedIoU) else { return nil }
        let (cut, offset) = (parameters.maskThreshold, parameters.stabilityScoreOffset)
        plane.clear(cut: Float(cut), high: Float(cut + offset), low: Float(cut - offset))
        rows { row, logits in plane.add(row, logits) }
        let stability = plane.stabilityScore
        // The stability score of an empty mask is 0/0, which does not reach any threshold.
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

    /// Whether a box, in pixels of the crop, comes near an edge of the crop that is not an edge of
    /// the image.
    private func isNearEdge(_ box: PixelBox) -> Bool {
        let tolerance = 20
        let box = box.moved(byX: crop.box.x0, y: crop.box.y0)
        func near(_ place: Int, _ edge: Int, _ imageEdge: Int) -> Bool {
            abs(place - edge) <= tolerance && abs(place - imageEdge) > tolerance
        }
        return near(box.x0, crop.box.x0, 0) || near(box.y0, crop.box.y0, 0)
            || near(box.x1, crop.box.x1, imageWidth) || near(box.y1, crop.box.y1, imageHeight)
    }

    /// The boxes of the masks that passed the filters, in pixels of the image.
    var boxes: [PixelBox] { candidates.map { $0.box.moved(byX: crop.box.x0, y: crop.box.y0) } }

    /// The indices of these masks that remain after non-maximum suppression, best predicted IoU
    /// first.
    var kept: [Int] {
        NonMaximumSuppression.kept(
            candidates.map(\.box), scores: candidates.map(\.predictedIoU), threshold: parameters.boxNMSThreshold)
    }

    /// The remaining masks, best predicted IoU first, in pixels of the image.
    public func finish() -> [AutomaticMask] {
        kept.map { index in
            var mask = candidates[index]
            mask.box = mask.box.moved(byX: crop.box.x0, y: crop.box.y0)
            mask.point = GridPoint(x: mask.point.x + Double(crop.box.x0), y: mask.point.y + Double(crop.box.y0))
            return mask
        }
    }
}

/// A record of the network's answers for one crop and of the filters' decisions.
///
/// It keeps the logits of masks that pass the filters. The logits of all masks would take 800 MB.
public struct CropTrace: Sendable {
    /// The crop that the record belongs to.
    public let crop: MaskCrop
    /// The predicted IoU of every mask, point by point: `[points, masks]`.
    public private(set) var predictedIoU = [Float]()
    /// The stability score of every mask, `[points, masks]`.
    ///
    /// The score is NaN for an empty mask, and for a mask whose predicted IoU is too low.
    public private(set) var stabilityScore = [Float]()
    /// The indices, in these two arrays, of the masks that passed the filters.
    public private(set) var passed = [Int]()
    /// The low-resolution logits of the masks that passed, `[passed, low, low]`.
    public private(set) var logits = [Float]()
    /// The boxes of the masks that passed, in pixels of the image; they include the last column and
    /// row.
    public private(set) var boxes = [PixelBox]()
    /// The indices, in `passed`, of the masks that remain after non-maximum suppression, best
    /// predicted IoU first.
    public private(set) var kept = [Int]()

    init(_ crop: MaskCrop) { self.crop = crop }

    /// Adds the predicted IoU of the next point's masks.
    mutating func add(_ scores: [Float]) {
        predictedIoU += scores
        stabilityScore += scores.map { _ in .nan }
    }

    /// Adds the filters' result for one mask.
    ///
    /// - Parameters:
    ///   - considered: the result.
    ///   - place: the index of the mask, counted from the first mask of the first point.
    ///   - logits: the mask's low-resolution logits.
    ///   - count: the number of logits.
    mutating func add(
        _ considered: CropMasks.Considered, at place: Int, logits: UnsafePointer<Float>, count: Int
    ) {
        stabilityScore[place] = considered.stabilityScore
        guard considered.passed else { return }
        passed.append(place)
        self.logits.append(contentsOf: UnsafeBufferPointer(start: logits, count: count))
    }

    /// Adds the boxes and the decisions of the non-maximum suppression.
    mutating func finish(_ masks: CropMasks) {
        boxes = masks.boxes
        kept = masks.kept
    }
}
