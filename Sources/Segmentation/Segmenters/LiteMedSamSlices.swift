// SPDX-License-Identifier: Apache-2.0
//
// lite-medsam-slices: the left atrial cavity in LGE MRI by LiteMedSAM, slice by slice from boxes. Intensities of the volume
// clipped to the 0.5 and 99.5 percentiles of what is positive, as bytes -> every slice as lite-medsam-box has it -> objects
// of fewer than 100 voxels dropped.

internal import Imaging
internal import Inference

final class LiteMedSamSlices: InstalledRecipe {
    static let entry = PromptedTarget.leftAtrium.entry(
        name: "lite-medsam-slices", version: "1.0.0", family: .liteMedSAM,
        title: "the left atrial cavity in 3D late gadolinium enhanced MRI, from a box in each slice",
        paper: "Ma 2024 (MedSAM), Wu 2022 (TinyViT)",
        options: [.box, .keySlice, .margin, .shift], refusals: boxesOnly)

    static let rules = PromptedRules(
        name: entry.name, family: .liteMedSAM, margin: 3, shift: 3, smallestObject: 100,
        trustsPredictedIoU: true)

    let descriptor: SegmenterDescriptor
    private let body: PromptedSlices

    init(_ descriptor: SegmenterDescriptor, weights: SafeTensors, file: WeightFile?, precision: Precision) throws {
        self.descriptor = descriptor
        body = try PromptedSlices(Self.rules, weights: weights, precision: precision)
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try Self.entry.check(options)
        return try body.segment(input, options: options, trace: trace, progress: progress)
    }
}
