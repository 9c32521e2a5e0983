// SPDX-License-Identifier: Apache-2.0

/// What the network said of one crop, and what became of it: for somebody who looks on. The logits of all masks would be
/// 800 MB; those of masks that pass the filters are kept.
public struct CropTrace: Sendable {
    public let crop: MaskCrop
    /// Of every mask, point by point: `[points, masks]`.
    public private(set) var predictedIoU = [Float]()
    /// Likewise; not a number where predicted IoU dropped the mask before anybody asked, and for 0/0.
    public private(set) var stabilityScore = [Float]()
    /// Places in these two of the masks that passed the filters.
    public private(set) var passed = [Int]()
    /// Of those: `[passed, low, low]`.
    public private(set) var logits = [Float]()
    /// Around those, in pixels of the image, the last column and row inside.
    public private(set) var boxes = [PixelBox]()
    /// Places in `passed` of the masks that non-maximum suppression left, best predicted IoU first.
    public private(set) var kept = [Int]()

    init(_ crop: MaskCrop) { self.crop = crop }

    /// The masks of the next point.
    mutating func add(_ scores: [Float]) {
        predictedIoU += scores
        stabilityScore += scores.map { _ in .nan }
    }

    /// - Parameters:
    ///   - place: of the mask, counted from the first of the first point.
    ///   - logits: `count` of them.
    mutating func add(
        _ considered: CropMasks.Considered, at place: Int, logits: UnsafePointer<Float>, count: Int
    ) {
        stabilityScore[place] = considered.stabilityScore
        guard considered.passed else { return }
        passed.append(place)
        self.logits.append(contentsOf: UnsafeBufferPointer(start: logits, count: count))
    }

    mutating func finish(_ masks: CropMasks) {
        boxes = masks.boxes
        kept = masks.kept
    }
}
