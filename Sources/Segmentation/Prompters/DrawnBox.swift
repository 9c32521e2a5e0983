// SPDX-License-Identifier: Apache-2.0

package import Inference

/// medsam-compact's second view of a box: drawn as a mask prompt (`drawn_box` of training/recipes/medsam_compact.py).
package enum DrawnBox {
    /// 5 in the box's centre, 0 on the ellipse inside it, -5 from its corners outwards.
    ///
    /// - Parameters:
    ///   - box: in pixels of an input of twice the size.
    ///   - size: of the mask prompt.
    /// - Returns: `[1, size, size, 1]`.
    package static func mask(_ box: PromptBox, size: Int) -> Tensor {
        let across = squares(box.x0, box.x1, size)
        let values = squares(box.y0, box.y1, size).flatMap { down in
            across.map { 5 * min(max(1 - (down + $0), -1), 1) }
        }
        return Tensor(shape: [1, size, size, 1], values: values)
    }

    /// Of the distance to the middle of `low...high`, in halves of its length.
    private static func squares(_ low: Float, _ high: Float, _ size: Int) -> [Float] {
        (0..<size).map { index in
            let share = (Float(2 * index + 1) - (low + high) / 2) / max((high - low) / 2, 1)
            return share * share
        }
    }
}
