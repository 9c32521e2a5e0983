// SPDX-License-Identifier: Apache-2.0

package import Imaging

/// Chooses the slices that prompt a tracking from the answer of a compact network.
package enum KeySlice {
    /// The slice where the answer is largest and surest: the largest product of area and confidence.
    ///
    /// - Parameters:
    ///   - masks: one mask per slice.
    ///   - confidence: the confidence of each slice, 0...1.
    /// - Returns: the index of the first such slice; `nil` if every mask is empty.
    package static func best(_ masks: [Mask], confidence: [Double]) -> Int? {
        let scores = zip(masks, confidence).map { mask, confidence in
            // A mask without any confidence still counts more than an empty one.
            Double(mask.area) * max(confidence, 1e-6)
        }
        let best = scores.indices.max { (scores[$0], $1) < (scores[$1], $0) }
        return best.flatMap { scores[$0] > 0 ? $0 : nil }
    }

    /// The key slice and every further slice at a multiple of `distance` from it whose mask is not empty.
    ///
    /// - Parameters:
    ///   - masks: one mask per slice.
    ///   - key: the index of the key slice, whose mask is not empty.
    ///   - distance: the distance in slices; `nil` for the key slice alone.
    /// - Returns: the key slice, and then the others in order. The tracker keeps this order of prompts.
    package static func prompted(_ masks: [Mask], key: Int, every distance: Int?) -> [Int] {
        guard let distance else { return [key] }
        return [key] + masks.indices.filter { $0 != key && ($0 - key) % distance == 0 && !masks[$0].isEmpty }
    }
}
