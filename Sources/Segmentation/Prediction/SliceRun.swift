// SPDX-License-Identifier: Apache-2.0

internal import Imaging
package import Inference

/// The slices of one volume on their way through a network that takes boxes.
struct SliceRun {
    /// The source of the boxes, which are in pixels of the network's input.
    enum Plan {
        /// One box per slice. A slice without a box that lies between slices with a box takes the nearest box.
        case slices([PromptBox?])
        /// One box, carried from slice to slice in both directions.
        case walk(from: Int, box: PromptBox)
    }

    /// The part of a slice's answer that the result needs.
    struct SliceAnswer {
        /// 0 or 1, `[rows, columns]`.
        var mask: [UInt8]
        /// 0...1, `[rows, columns]`.
        var probabilities: [Float]
        /// Measures of the answer by name.
        var measures: [String: Double]
    }

    let grid: InputGrid
    /// Whether the volume lacks contrast.
    var isFlat: Bool { Contrast.isMissing(in: bytes) }
    /// One answer per slice; `nil` for a slice that was not given to the network.
    private(set) var answers: [SliceAnswer?]
    private(set) var boxes = BoxNotes()

    private let network: PromptedNetwork
    private let trace: (any SegmentationTrace)?
    private let margin: Double
    private let shift: Double
    private let rows: Int
    private let columns: Int
    /// The volume's intensities as bytes.
    private let bytes: [UInt8]

    init(
        network: PromptedNetwork, volume: Volume, margin: Double, shift: Double, trace: (any SegmentationTrace)?
    ) {
        self.network = network
        self.trace = trace
        self.margin = margin
        self.shift = shift
        (rows, columns) = (volume.rows, volume.columns)
        bytes = MagneticResonance.bytes(volume.voxels)
        grid = network.predictor.grid(rows: volume.rows, columns: volume.columns)
        answers = [SliceAnswer?](repeating: nil, count: volume.slices)
    }

    /// Segments the slices of a plan.
    ///
    /// - Parameters:
    ///   - plan: the source of the boxes.
    ///   - step: called after every segmented slice.
    /// - Throws: errors of the network and the trace.
    mutating func follow(_ plan: Plan, step: () -> Void) throws {
        switch plan {
        case .slices(let boxes):
            for (slice, box) in BoxWalk.filled(boxes).enumerated() {
                guard let box else { continue }
                _ = try answer(slice, box)
                step()
            }
        case .walk(let key, let box):
            let (grid, columns, margin) = (grid, columns, margin)
            try BoxWalk.walk(slices: answers.count, from: key, box: box) { slice, box in
                let mask = try answer(slice, box)
                step()
                return mask
            } next: { mask in
                MaskPrompter.box(mask, columns: columns).map { grid.widened(grid.input($0), by: margin) }
            }
        }
    }

    /// Segments one slice and returns its mask.
    private mutating func answer(_ slice: Int, _ box: PromptBox) throws -> [UInt8] {
        let size = rows * columns
        let image = ByteImage(
            rows: rows, columns: columns, channels: 1, values: Array(bytes[slice * size..<(slice + 1) * size]))
        let prompts = [Prompt(box: box)]
        boxes.count(prompts, on: grid)
        let answer = try network.answer(image, index: slice, shift: shift, trace: trace) { _ in prompts }
        answers[slice] = SliceAnswer(
            mask: answer.image.mask, probabilities: answer.image.probabilities, measures: answer.measures)
        return answer.image.mask
    }
}

/// Decides which box prompts each slice of a volume.
///
/// The functions are pure; the caller runs the network.
package enum BoxWalk {
    /// The largest number of consecutive slices in which the first box is tried again after an empty mask.
    package static let mostRetries = 3

    /// Boxes for the slices from the first to the last slice that has one.
    ///
    /// - Parameter boxes: one element per slice.
    /// - Returns: each slice's own box, or that of the nearest slice. If two slices are equally near, the earlier one
    ///   counts.
    package static func filled(_ boxes: [PromptBox?]) -> [PromptBox?] {
        let found = boxes.indices.filter { boxes[$0] != nil }
        guard let first = found.first, let last = found.last else { return boxes }
        return boxes.indices.map { slice in
            guard (first...last).contains(slice) else { return nil }
            return found.min { abs($0 - slice) < abs($1 - slice) }.flatMap { boxes[$0] }
        }
    }

    /// Carries a box from its slice in both directions, up to both ends of the volume.
    ///
    /// - Parameters:
    ///   - slices: the number of slices.
    ///   - key: index of the slice of the first box.
    ///   - first: the first box.
    ///   - answer: segments a slice from a box.
    ///   - next: the box for the following slice; `nil` if the mask is empty.
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
