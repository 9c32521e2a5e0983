// SPDX-License-Identifier: Apache-2.0
//
// medsam-compact-slices: the left atrial cavity in LGE MRI by medsam-compact, slice by slice from boxes. Intensities
// of the volume clipped to the 0.5 and 99.5 percentiles of what is positive, as bytes -> every slice as
// medsam-compact-box has it -> objects of fewer than 100 voxels dropped.

internal import Inference

enum MedSamCompactSlices: PromptedRecipe {
    static let entry = PromptedTarget.leftAtrium.entry(
        name: "medsam-compact-slices", version: "1.0.0", family: .medsamCompact,
        title: "the left atrial cavity in 3D late gadolinium enhanced MRI, from a box in each slice",
        paper: "Kirillov 2023 (Segment Anything), He 2016 (residual blocks); "
            + "trained by training/fitting/train_promptable.py",
        options: [.box, .keySlice, .margin, .shift],
        refusals: [.points: "a volume is walked by boxes: give a box"])

    static let rules = PromptedRules(
        name: entry.name, family: .medsamCompact, margin: 3, shift: 3, smallestObject: 100,
        trustsPredictedIoU: true)

    static let answers = PromptedAnswers.slices
}
