// SPDX-License-Identifier: Apache-2.0
//
// `fill_holes_in_mask_scores` of sam2/utils/misc.py.

/// Filling of small holes in a mask.
package enum HoleFilling {
    /// The logit of a filled pixel.
    private static let inside: Float = 0.1

    /// Raises the logits of small holes above 0.
    ///
    /// A hole is a component of pixels with logits of at most 0 that touch at edges or corners.
    ///
    /// - Parameters:
    ///   - logits: `[1, height, width]`.
    ///   - largest: the largest number of pixels of a hole.
    /// - Returns: `[1, height, width]`.
    package static func filled(_ logits: Tensor, largest: Int) -> Tensor {
        let (height, width) = (logits.shape[1], logits.shape[2])
        var filled = logits
        var isSeen = logits.values.map { !($0 <= 0) }
        for seed in isSeen.indices where !isSeen[seed] {
            var component = [seed]
            isSeen[seed] = true
            var next = 0
            while next < component.count {
                let (y, x) = (component[next] / width, component[next] % width)
                next += 1
                for v in max(y - 1, 0)...min(y + 1, height - 1) {
                    for u in max(x - 1, 0)...min(x + 1, width - 1) where !isSeen[v * width + u] {
                        isSeen[v * width + u] = true
                        component.append(v * width + u)
                    }
                }
            }
            if component.count <= largest { for pixel in component { filled.values[pixel] = inside } }
        }
        return filled
    }
}
