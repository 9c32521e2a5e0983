// SPDX-License-Identifier: Apache-2.0
//
// medsam-slices: the left atrial cavity in LGE MRI by MedSAM, slice by slice from boxes. Intensities of the volume clipped to
// the 0.5 and 99.5 percentiles of what is positive, as bytes -> every slice as medsam-box has it -> objects of fewer than
// 1000 voxels dropped. The margin is the reference's: 3 pixels of 256.

internal import Imaging
internal import Inference

final class MedSamSlices: InstalledRecipe {
    static let entry = PromptedTarget.leftAtrium.entry(
        name: "medsam-slices", version: "1.0.0", family: .medsam,
        title: "the left atrial cavity in 3D late gadolinium enhanced MRI, from a box in each slice",
        paper: "Ma 2024 (MedSAM)",
        options: [.box, .keySlice, .margin, .shift], refusals: boxesOnly)

    static let rules = PromptedRules(
        name: entry.name, family: .medsam, margin: 12, shift: 10, smallestObject: 1000,
        trustsPredictedIoU: false)

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
