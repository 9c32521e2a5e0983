// SPDX-License-Identifier: Apache-2.0
//
// medsam-slices: the left atrial cavity in LGE MRI by MedSAM, slice by slice from boxes. Intensities of the volume clipped to
// the 0.5 and 99.5 percentiles of what is positive, as bytes -> every slice as medsam-box has it -> objects of fewer than
// 1000 voxels dropped. The margin is the reference's: 3 pixels of 256.

internal import Inference

enum MedSamSlices: PromptedRecipe {
    static let entry = PromptedTarget.leftAtrium.entry(
        name: "medsam-slices", version: "1.0.0", family: .medsam,
        title: "the left atrial cavity in 3D late gadolinium enhanced MRI, from a box in each slice",
        paper: "Ma 2024 (MedSAM)",
        options: [.box, .keySlice, .margin, .shift], refusals: boxesOnly)

    static let rules = PromptedRules(
        name: entry.name, family: .medsam, margin: 12, shift: 10, smallestObject: 1000,
        trustsPredictedIoU: false)

    static let answers = PromptedAnswers.slices
}
