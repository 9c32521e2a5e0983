// SPDX-License-Identifier: Apache-2.0

/// A mask that automatic generation found, with the fields of segment-anything's records.
public struct AutomaticMask: Sendable, Hashable {
    /// The mask, in the size of the image.
    public var segmentation: RunLengths
    /// The box around the mask, in pixels of the image.
    ///
    /// It includes the last column and row. The box of an empty mask is all 0.
    public var box: PixelBox
    /// The network's estimate of the mask's IoU.
    public var predictedIoU: Float
    /// The point prompt that gave the mask, in pixels of the image.
    public var point: GridPoint
    /// The IoU of the masks that a higher and a lower threshold of the logits would give.
    public var stabilityScore: Float
    /// The crop of the image that the network saw; x1 and y1 are one past the end.
    public var cropBox: PixelBox

    /// The number of pixels in the mask.
    public var area: Int { segmentation.area }

    /// Creates a mask.
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
    /// Combines the masks of all crops of an image, without duplicates and small regions.
    ///
    /// - Parameters:
    ///   - crops: the result of `CropMasks.finish` for each crop, in the order of `MaskCrop.all`.
    ///   - parameters: the parameters that the crops were made with.
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

    /// Removes small regions, and then duplicates that arose from it.
    ///
    /// If two masks overlap too much, an unchanged mask takes precedence over a changed one.
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

// Non-maximum suppression with the arithmetic of torchvision.ops.nms on the CPU: fp32 areas and
// quotients, and a threshold in double precision.

/// Non-maximum suppression of boxes.
enum NonMaximumSuppression {
    /// The indices of the boxes that are kept, best score first; equal scores keep their order.
    ///
    /// A box is dropped if it overlaps a better kept box by an IoU above `threshold`. A box without
    /// area does not suppress another one, because 0/0 is not above the threshold.
    static func kept(_ boxes: [PixelBox], scores: [Float], threshold: Double) -> [Int] {
        precondition(boxes.count == scores.count, "every box has a score")
        let order = boxes.indices.sorted { first, second in
            let (a, b) = (scores[first], scores[second])
            // torch.sort orders NaN as the largest number.
            if a.isNaN || b.isNaN { return a.isNaN == b.isNaN ? first < second : a.isNaN }
            return a == b ? first < second : a > b
        }
        let corners = order.map { index in
            let box = boxes[index]
            return SIMD4(Float(box.x0), Float(box.y0), Float(box.x1), Float(box.y1))
        }
        let areas = corners.map { ($0.z - $0.x) * ($0.w - $0.y) }
        var suppressed = [Bool](repeating: false, count: order.count)
        var kept = [Int]()
        for best in order.indices where !suppressed[best] {
            kept.append(order[best])
            let own = corners[best]
            for other in best + 1..<order.count where !suppressed[other] {
                let box = corners[other]
                let width = max(0, min(own.z, box.z) - max(own.x, box.x))
                let height = max(0, min(own.w, box.w) - max(own.y, box.y))
                let common = width * height
                suppressed[other] = Double(common / (areas[best] + areas[other] - common)) > threshold
            }
        }
        return kept
    }
}

// remove_small_regions of segment-anything 1.0. The reference labels regions with OpenCV's
// connected components (8 neighbours). OpenCV numbers the regions in the order in which it first
// meets their blocks of 2 x 2 pixels. This order decides which of several equally large islands is
// kept.

/// Removal of small holes and islands from a mask.
enum SmallRegions {
    /// Fills holes and then clears islands of fewer than `area` pixels.
    ///
    /// If every island is that small, the largest one is kept.
    ///
    /// - Parameters:
    ///   - area: the smallest area that is kept, in pixels.
    ///   - pixels: `[height, width]`, row-major, 0 or 1; changed in place.
    ///   - height: the height of the mask.
    ///   - width: the width of the mask.
    /// - Returns: whether a pixel changed.
    static func remove(below area: Int, from pixels: inout [UInt8], height: Int, width: Int) -> Bool {
        let holes = fill(of: 0, below: area, &pixels, height, width, keepsOne: false)
        let islands = fill(of: 1, below: area, &pixels, height, width, keepsOne: true)
        return holes || islands
    }

    private struct Region {
        let seed: Int
        var size = 0
        /// The place of the region's first block of 2 x 2 pixels, counted row by row.
        var block = Int.max
    }

    /// Gives the other value to every region of pixels of `value` that is smaller than `area`.
    private static func fill(
        of value: UInt8, below area: Int, _ pixels: inout [UInt8], _ height: Int, _ width: Int, keepsOne: Bool
    ) -> Bool {
        // The value 2 marks a visited pixel.
        var marks = pixels
        var regions = [Region]()
        var stack = [Int]()
        for seed in marks.indices where marks[seed] == value {
            var region = Region(seed: seed)
            visit(seed, value, &marks, height, width, &stack) { pixel in
                region.size += 1
                region.block = min(region.block, pixel / width / 2 * width + pixel % width / 2)
            }
            regions.append(region)
        }
        var small = regions.filter { $0.size < area }
        guard !small.isEmpty else { return false }
        if keepsOne, small.count == regions.count {
            let largest = small.indices.min { first, second in
                (-small[first].size, small[first].block) < (-small[second].size, small[second].block)
            }
            if let largest { small.remove(at: largest) }
        }
        for region in small {
            visit(region.seed, value, &pixels, height, width, &stack) { _ in }
        }
        // Every visited pixel gets the other value.
        for index in pixels.indices where pixels[index] == 2 { pixels[index] = 1 - value }
        return true
    }

    /// Marks the region of `seed` and calls `body` with each of its pixels.
    private static func visit(
        _ seed: Int, _ value: UInt8, _ marks: inout [UInt8], _ height: Int, _ width: Int, _ stack: inout [Int],
        _ body: (Int) -> Void
    ) {
        marks[seed] = 2
        stack.append(seed)
        while let pixel = stack.popLast() {
            body(pixel)
            let (y, x) = (pixel / width, pixel % width)
            for row in max(y - 1, 0)...min(y + 1, height - 1) {
                for column in max(x - 1, 0)...min(x + 1, width - 1) where marks[row * width + column] == value {
                    marks[row * width + column] = 2
                    stack.append(row * width + column)
                }
            }
        }
    }
}
