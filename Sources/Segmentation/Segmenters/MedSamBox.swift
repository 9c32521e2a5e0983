// SPDX-License-Identifier: Apache-2.0
//
// medsam-box: polyps in single frames by MedSAM, from a box. The picture as bytes -> stretched to 1024 x 1024 by a cubic
// spline, cut to bytes -> least to greatest as 0...1 -> image encoder -> mask decoder, the single mask -> sigmoid -> resized
// to the frame -> above 0.5 -> objects of fewer than 100 pixels dropped. Its estimate of the IoU was never trained.

internal import Inference

enum MedSamBox: PromptedRecipe {
    static let entry = PromptedTarget.polyp.entry(
        name: "medsam-box", version: "1.0.0", family: .medsam,
        title: "polyps in single colonoscopy frames, from a box",
        paper: "Ma 2024 (MedSAM)",
        options: [.box, .margin, .shift], refusals: boxesOnly)

    static let rules = PromptedRules(
        name: entry.name, family: .medsam, margin: 12, shift: 10, smallestObject: 100,
        trustsPredictedIoU: false)

    static let answers = PromptedAnswers.frames(.box)
}
