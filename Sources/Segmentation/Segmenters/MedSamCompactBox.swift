// SPDX-License-Identifier: Apache-2.0
//
// medsam-compact-box: polyps in single frames by medsam-compact, from a box, points, or both. The recipe is that of
// training/recipes/medsam_compact.py: the picture as bytes -> stretched to 256 x 256 as training/recipes/resize.py
// does -> ImageNet's mean and deviation -> image encoder -> mask decoder, a box drawn as a mask prompt too; the
// single mask, for a lone point the best of three -> logits resized to the frame -> above 0.

internal import Inference

enum MedSamCompactBox: PromptedRecipe {
    static let entry = PromptedTarget.polyp.entry(
        name: "medsam-compact-box", version: "1.0.0", family: .medsamCompact,
        title: "polyps in single colonoscopy frames, from a box or points",
        paper: "Kirillov 2023 (Segment Anything), He 2016 (residual blocks); "
            + "trained by training/fitting/train_promptable.py",
        options: [.box, .points, .margin, .shift])

    static let rules = PromptedRules(
        name: entry.name, family: .medsamCompact, margin: 3, shift: 3, smallestObject: 0,
        trustsPredictedIoU: true)

    static let answers = PromptedAnswers.frames(.boxOrPoints)
}
