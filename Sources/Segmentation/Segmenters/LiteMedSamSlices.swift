// SPDX-License-Identifier: Apache-2.0
//
// lite-medsam-slices: the left atrial cavity in LGE MRI by LiteMedSAM, slice by slice from boxes. Intensities of the volume
// clipped to the 0.5 and 99.5 percentiles of what is positive, as bytes -> every slice as lite-medsam-box has it -> objects
// of fewer than 100 voxels dropped.

internal import Inference

enum LiteMedSamSlices: PromptedRecipe {
    static let entry = PromptedTarget.leftAtrium.entry(
        name: "lite-medsam-slices", version: "1.0.0", family: .liteMedSAM,
        title: "the left atrial cavity in 3D late gadolinium enhanced MRI, from a box in each slice",
        paper: "Ma 2024 (MedSAM), Wu 2022 (TinyViT)",
        options: [.box, .keySlice, .margin, .shift], refusals: boxesOnly)

    static let rules = PromptedRules(
        name: entry.name, family: .liteMedSAM, margin: 3, shift: 3, smallestObject: 100,
        trustsPredictedIoU: true)

    static let answers = PromptedAnswers.slices
}
