// SPDX-License-Identifier: Apache-2.0
//
// Measures of a promptable network's answer:
//
// - predictedIoU: the network's own estimate, if it was trained, limited to 0...1.
// - stabilityScore: the area with logits above 1 over the area with logits above -1
//   (segment_anything's amg.py, offset 1); 0 if both are empty. It is computed on low-resolution
//   logits without the padding.
// - jitterAgreement: mean Dice of the mask with the masks of four moved prompts, on the same
//   logits, cut at 0. The four are the same in every run: the box larger, smaller, and shifted
//   along both diagonals, or the points moved along both axes.
//
// The confidence is the geometric mean of the measures that are known.

internal import Foundation
package import Imaging
package import Inference

/// The confidence of a promptable network's answers.
package enum PromptConfidence {
    /// The prompt moved in four ways.
    ///
    /// - Parameters:
    ///   - prompt: a box or points, in pixels of the input.
    ///   - shift: pixels of the input. The result is empty for 0.
    ///   - grid: keeps prompts inside the image.
    /// - Returns: four prompts, or an empty list.
    package static func moved(_ prompt: Prompt, by shift: Double, on grid: InputGrid) -> [Prompt] {
        guard shift > 0 else { return [] }
        let step = Float(shift)
        if let box = prompt.box {
            let ways: [(Float, Float, Float, Float)] = [(1, 1, 1, 1), (-1, -1, -1, -1), (-1, -1, 1, 1), (1, -1, -1, 1)]
            return ways.map { sides in
                // At most a quarter of the box, because a small box would vanish.
                let (x, y) = (min(step, (box.x1 - box.x0) / 4), min(step, (box.y1 - box.y0) / 4))
                var moved = prompt
                moved.box = grid.moved(
                    box, left: sides.0 * x, top: sides.1 * y, right: sides.2 * x, bottom: sides.3 * y)
                return moved
            }
        }
        let ways: [(Float, Float)] = [(1, 0), (-1, 0), (0, 1), (0, -1)]
        return ways.map { direction in
            var moved = prompt
            moved.points = prompt.points.map { grid.moved($0, x: direction.0 * step, y: direction.1 * step) }
            return moved
        }
    }

    /// Measures an answer.
    ///
    /// - Parameters:
    ///   - answers: the answer to the prompt, then the answers to the moved prompts.
    ///   - index: the index of the chosen mask.
    ///   - grid: the mapping from the image to the network's input.
    ///   - predictedIoU: whether the network's estimate was trained.
    /// - Returns: measures by name, 0...1.
    package static func measures(
        _ answers: [PromptAnswer], mask index: Int, on grid: InputGrid, predictedIoU: Bool
    ) -> [String: Double] {
        let planes = answers.map { inside($0, mask: index, on: grid) }
        let area = (sure: planes[0].count { $0 > 1 }, possible: planes[0].count { $0 > -1 })
        var measures = ["stabilityScore": area.possible == 0 ? 0 : Double(area.sure) / Double(area.possible)]
        if answers.count > 1 {
            let masks = planes.map { $0.map { UInt8($0 > 0 ? 1 : 0) } }
            let scores = masks.dropFirst().map { Dice.score(masks[0], $0) }
            measures["jitterAgreement"] = scores.reduce(0, +) / Double(scores.count)
        }
        if predictedIoU { measures["predictedIoU"] = min(max(Double(answers[0].predictedIoU[index]), 0), 1) }
        return measures
    }

    /// The logits without the padding.
    private static func inside(_ answer: PromptAnswer, mask index: Int, on grid: InputGrid) -> [Float] {
        let size = answer.logits.shape[1]
        let (rows, columns) = grid.inside(lowResolution: size)
        let plane = answer.logits.values[index * size * size..<(index + 1) * size * size]
        return (0..<rows).flatMap { plane.dropFirst($0 * size).prefix(columns) }
    }

    /// The mean of each measure over the prompts or frames that have it.
    package static func mean(_ each: [[String: Double]]) -> [String: Double] {
        Dictionary(grouping: each.flatMap { $0 }, by: \.key).mapValues { values in
            values.reduce(0) { $0 + $1.value } / Double(values.count)
        }
    }

    /// The geometric mean of the network's measures, with the measures.
    ///
    /// - Parameters:
    ///   - measures: the measures of the answer, by name.
    ///   - prompter: confidence of the network that found the prompt. It is recorded as a measure
    ///     only.
    /// - Returns: a value of 0...1 with all measures.
    package static func confidence(_ measures: [String: Double], prompter: Double?) -> Confidence {
        // Multiplied in the order of names, so that every run gives the same product.
        let values = measures.sorted { $0.key < $1.key }.map { min(max($0.value, 0), 1) }
        let product = values.reduce(1, *)
        var measures = measures
        if let prompter { measures["prompterConfidence"] = min(max(prompter, 0), 1) }
        return Confidence(value: values.isEmpty ? 0 : pow(product, 1 / Double(values.count)), measures: measures)
    }

    /// The confidence of a stack: the mean over the frames whose mask is not empty, or over all if
    /// every mask is.
    ///
    /// - Parameters:
    ///   - frames: the confidence of each frame.
    ///   - found: whether the mask of each frame is not empty.
    /// - Returns: the mean value with the mean of each measure.
    package static func mean(_ frames: [Confidence], found: [Bool]) -> Confidence {
        let chosen = found.contains(true) ? zip(frames, found).filter(\.1).map(\.0) : frames
        guard !chosen.isEmpty else { return Confidence(value: 0, measures: [:]) }
        let value = chosen.reduce(0) { $0 + $1.value } / Double(chosen.count)
        return Confidence(value: value, measures: mean(chosen.map(\.measures)))
    }
}
