// SPDX-License-Identifier: Apache-2.0

package import Inference

/// Which box each slice of a volume is asked with. Pure: whoever calls it runs the network.
package enum BoxWalk {
    /// After an empty mask the first box is tried again, in at most so many slices running.
    package static let mostRetries = 3

    /// Boxes for the slices from the first to the last that has one: its own, or that of the nearest slice, of equally
    /// near ones the earlier.
    package static func filled(_ boxes: [PromptBox?]) -> [PromptBox?] {
        let found = boxes.indices.filter { boxes[$0] != nil }
        guard let first = found.first, let last = found.last else { return boxes }
        return boxes.indices.map { slice in
            guard (first...last).contains(slice) else { return nil }
            return found.min { abs($0 - slice) < abs($1 - slice) }.flatMap { boxes[$0] }
        }
    }

    /// Carries a box from its slice in both directions, both ends of the volume included.
    ///
    /// - Parameters:
    ///   - key: the slice of the first box.
    ///   - answer: answers a slice asked with a box.
    ///   - next: the box for the slice after one that was answered so; `nil` when its mask is empty.
    package static func walk<Answer>(
        slices: Int, from key: Int, box first: PromptBox, answer: (Int, PromptBox) throws -> Answer,
        next: (Answer) -> PromptBox?
    ) rethrows {
        let start = try answer(key, first)
        for direction in [1, -1] {
            var (slice, last, retries) = (key + direction, start, 0)
            while (0..<slices).contains(slice) {
                let box = next(last)
                if box == nil {
                    guard retries < mostRetries else { break }
                    retries += 1
                } else {
                    retries = 0
                }
                last = try answer(slice, box ?? first)
                slice += direction
            }
        }
    }
}
