// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

/// One volume's slices on their way through a network that takes boxes.
struct SliceRun {
    /// Where the boxes come from, in pixels of the network's input.
    enum Plan {
        /// One a slice; slices without one between others take the nearest, those beyond none.
        case slices([PromptBox?])
        /// One, carried from slice to slice in both directions.
        case walk(from: Int, box: PromptBox)
    }

    /// What is kept of an answered slice.
    struct Answer {
        var mask: [UInt8]
        var probabilities: [Float]
        var measures: [String: Double]
    }

    let grid: InputGrid
    /// `nil` for slices that the network was not asked about.
    private(set) var answers: [Answer?]
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
        answers = [Answer?](repeating: nil, count: volume.slices)
    }

    /// - Parameter step: called after every slice that was answered.
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

    /// - Returns: the mask.
    private mutating func answer(_ slice: Int, _ box: PromptBox) throws -> [UInt8] {
        let size = rows * columns
        let image = ByteImage(
            rows: rows, columns: columns, channels: 1, values: Array(bytes[slice * size..<(slice + 1) * size]))
        let prompts = [Prompt(box: box)]
        boxes.count(prompts, on: grid)
        let answer = try network.answer(image, index: slice, shift: shift, trace: trace) { _ in prompts }
        answers[slice] = Answer(
            mask: answer.image.mask, probabilities: answer.image.probabilities, measures: answer.measures)
        return answer.image.mask
    }
}
