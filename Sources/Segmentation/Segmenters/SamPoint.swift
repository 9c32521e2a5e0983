// SPDX-License-Identifier: Apache-2.0
//
// sam-point: polyps in single frames by Segment Anything, from points. As sam-box, but that a lone point is answered with
// the best of three masks by predicted IoU.

internal import Imaging
internal import Inference

final class SamPoint: InstalledRecipe {
    static let entry = PromptedTarget.polyp.entry(
        name: "sam-point", version: "1.0.0", family: .sam,
        title: "polyps in single colonoscopy frames, from points",
        paper: "Kirillov 2023 (Segment Anything)",
        options: [.points, .shift], refusals: [.box: "its prompts are points: choose sam-box"])

    static let rules = PromptedRules(
        name: entry.name, family: .sam, margin: 0, shift: 10, smallestObject: 0,
        trustsPredictedIoU: true)

    let descriptor: SegmenterDescriptor
    private let body: PromptedFrames

    init(_ descriptor: SegmenterDescriptor, weights: SafeTensors, file: WeightFile?, precision: Precision) throws {
        self.descriptor = descriptor
        body = try PromptedFrames(Self.rules, asks: .point, weights: weights, precision: precision)
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try Self.entry.check(options)
        return try body.segment(input, options: options, trace: trace, progress: progress)
    }
}
