// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

final class LiteMedSamSlices: InstalledRecipe {
    static let entry = PromptedTarget.leftAtrium.entry(
        name: "lite-medsam-slices", version: "1.0.0", family: .liteMedSAM,
        title: "the left atrial cavity in 3D late gadolinium enhanced MRI, from a box in each slice",
        paper: "Ma 2024 (MedSAM), Wu 2022 (TinyViT)",
        options: [.box, .keySlice, .margin, .shift], refusals: boxesOnly)

    let descriptor: SegmenterDescriptor

    init(_ descriptor: SegmenterDescriptor, weights: SafeTensors, precision: Precision) throws {
        self.descriptor = descriptor
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        throw SegmentationError.unsuitable(segmenter: descriptor.name, reason: "its network is not built in")
    }
}
