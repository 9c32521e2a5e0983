// SPDX-License-Identifier: Apache-2.0
//
// The confidence of a tracked structure, as training/recipes/tracked_confidence.py defines it.
//
// - objectPresence, predictedIoU, stabilityScore of a slice: `ObjectTrack.Answer.measures`. Those of a volume are the
//   means over its outlined slices, weighted with the area of the outline, as the Dice of a volume weights its slices.
// - jitterAgreement of a volume: the mean over its prompted slices; 0 for a slice that is not outlined.
// - promptAgreement: `Prompt.agreement(with:on:)`, the mean over the prompted slices.
// - likeness: to the training volumes of left-atrium-compact.

package import Imaging
package import Inference

/// Turns the measures of tracked answers into the Dice that the answers are expected to reach.
///
/// The coefficients lie in the weight file. Weights without coefficients, such as MedSAM2's, have the geometric mean of
/// a slice's measures as its confidence, and the mean over the outlined slices as that of a volume.
struct TrackConfidence: Sendable {
    /// Measures of a slice or frame.
    static let sliceMeasures = ["objectPresence", "predictedIoU", "stabilityScore"]
    /// Measures of a volume.
    static let volumeMeasures = sliceMeasures + ["jitterAgreement", "promptAgreement", "likeness"]

    private let volume: ConfidenceFit?
    /// The fit for one slice of a volume.
    let slice: ConfidenceFit?
    /// The fit for one frame of a sequence.
    let frame: ConfidenceFit?

    /// From this agreement on, a prompt shows the outlined structure: a box that is only jittered reaches it.
    static let agrees = 0.8

    /// Reads the coefficients of verified weights.
    ///
    /// - Throws: `SegmentationError.weights` for coefficients that cannot be used.
    init(_ weights: RecipeWeights) throws(SegmentationError) {
        volume = try weights.confidenceFit(.whole, measures: Self.volumeMeasures)
        slice = try weights.confidenceFit(.slice, measures: Self.sliceMeasures)
        frame = try weights.confidenceFit(.frame, measures: Self.sliceMeasures)
    }

    /// A tracked volume whose confidence is asked for.
    struct Track {
        let volume: Volume
        /// The answer for each slice; `nil` where the tracking did not arrive.
        let answers: [ObjectTrack.Answer?]
        /// The final mask of each slice.
        let masks: [Mask]
        /// The prompted slices with their prompts, in pixels of the network's input; at least one.
        let prompts: [(slice: Int, prompt: Prompt)]
        let grid: InputGrid
        /// Whether moved prompts tested the answers of the prompted slices.
        let isJittered: Bool
    }

    /// The confidence of a whole track.
    ///
    /// - Parameter track: the answers, the final masks and the prompts.
    /// - Returns: a value of 0...1 with the measures of the volume; `nil` without coefficients, or if a measure that
    ///   they need is not known.
    func whole(_ track: Track) -> Confidence? {
        guard let volume else { return nil }
        guard track.masks.contains(where: { !$0.isEmpty }) else {
            let present = track.answers.compactMap { $0?.measures["objectPresence"] }.max() ?? 0
            return Confidence(value: volume.value(absence: 1 - present), measures: ["objectPresence": present])
        }
        var measures = track.measures
        if volume.needs("likeness") {
            measures["likeness"] = LeftAtriumCompact.likeness(of: track.volume, around: track.masks)
        }
        guard volume.isComplete(measures) else { return nil }
        return Confidence(value: volume.value(found: measures), measures: measures)
    }
}

extension TrackConfidence.Track {
    /// The measures of an answer that outlines a slice, without its likeness.
    fileprivate var measures: [String: Double] {
        let outlined = masks.indices.filter { !masks[$0].isEmpty }
        let area = outlined.reduce(0) { $0 + masks[$1].area }
        var measures = [String: Double]()
        for name in TrackConfidence.sliceMeasures {
            let values = outlined.compactMap { slice in
                answers[slice]?.measures[name].map { Double(masks[slice].area) * $0 }
            }
            // A mask that prompted a slice has no predicted IoU.
            if values.count == outlined.count { measures[name] = values.reduce(0, +) / Double(area) }
        }
        func mean(_ value: (Int, Prompt) -> Double) -> Double {
            prompts.reduce(0) { $0 + value($1.slice, $1.prompt) } / Double(prompts.count)
        }
        if isJittered {
            measures["jitterAgreement"] = mean { slice, _ in
                masks[slice].isEmpty ? 0 : answers[slice]?.measures["jitterAgreement"] ?? 0
            }
        }
        measures["promptAgreement"] = mean { slice, prompt in
            min(TrackConfidence.agrees, prompt.agreement(with: masks[slice], on: grid))
        }
        return measures
    }
}

extension Prompt {
    /// How well the mask of the prompted image agrees with the prompt.
    ///
    /// For a box, it is the number of the mask's pixels whose centre lies in the box, as a share of the smaller of
    /// mask and box. A box of the wrong size has a value near 1, and a box beside the mask has 0. For points, it is the
    /// share that lies on the right side. With both, the smaller value counts.
    ///
    /// - Parameters:
    ///   - mask: the mask on the image's grid.
    ///   - grid: the mapping from the image to the network's input, in whose pixels the prompt is.
    /// - Returns: 0...1; 0 for an empty mask.
    package func agreement(with mask: Mask, on grid: InputGrid) -> Double {
        guard !mask.isEmpty else { return 0 }
        let centres = (
            x: (0..<mask.columns).map { grid.input(LabeledPoint(x: Double($0) + 0.5, y: 0.5, isForeground: true)).x },
            y: (0..<mask.rows).map { grid.input(LabeledPoint(x: 0.5, y: Double($0) + 0.5, isForeground: true)).y }
        )
        var agreement = 1.0
        if let box {
            let columns = centres.x.indices.filter { box.x0 <= centres.x[$0] && centres.x[$0] <= box.x1 }
            let rows = centres.y.indices.filter { box.y0 <= centres.y[$0] && centres.y[$0] <= box.y1 }
            let both = rows.reduce(0) { count, row in
                count + columns.count { mask.pixels[row * mask.columns + $0] != 0 }
            }
            agreement = Double(both) / Double(max(1, min(mask.area, rows.count * columns.count)))
        }
        if !points.isEmpty {
            func nearest(_ value: Float, _ centres: [Float]) -> Int {
                centres.indices.min { abs(centres[$0] - value) < abs(centres[$1] - value) } ?? 0
            }
            let right = points.count { point in
                let (row, column) = (nearest(point.y, centres.y), nearest(point.x, centres.x))
                return (mask.pixels[row * mask.columns + column] != 0) == (point.label == .foreground)
            }
            agreement = min(agreement, Double(right) / Double(points.count))
        }
        return agreement
    }
}
