// SPDX-License-Identifier: Apache-2.0
//
// torchvision.ops.nms for the CPU, in its arithmetic: fp32 areas and quotients, the threshold in double precision.

enum NonMaximumSuppression {
    /// Indices of the boxes that are kept, best score first; equal scores keep their order.
    ///
    /// A box is dropped when it overlaps a better kept one by more than `threshold` (IoU). Boxes without area overlap
    /// nothing: 0/0 is not more.
    static func kept(_ boxes: [PixelBox], scores: [Float], threshold: Double) -> [Int] {
        precondition(boxes.count == scores.count, "every box has a score")
        let order = boxes.indices.sorted { first, second in
            let (a, b) = (scores[first], scores[second])
            // As torch.sort does, NaN counts as the largest.
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
