// SPDX-License-Identifier: Apache-2.0
//
// lite-medsam-box: polyps in single frames by LiteMedSAM, from a box. The picture as bytes -> longest side to 256 by area
// means -> least to greatest as 0...1 -> padded with zeros -> TinyViT -> mask decoder, the single mask -> the padding cut
// off, resized to the frame -> sigmoid -> above 0.5 -> objects of fewer than 10 pixels dropped. Boxes in whole pixels of the
// input.

internal import Inference

enum LiteMedSamBox: PromptedRecipe {
    static let entry = PromptedTarget.polyp.entry(
        name: "lite-medsam-box", version: "1.0.0", family: .liteMedSAM,
        title: "polyps in single colonoscopy frames, from a box",
        paper: "Ma 2024 (MedSAM), Wu 2022 (TinyViT)",
        options: [.box, .margin, .shift], refusals: boxesOnly)

    static let rules = PromptedRules(
        name: entry.name, family: .liteMedSAM, margin: 3, shift: 3, smallestObject: 10,
        trustsPredictedIoU: true)

    static let answers = PromptedAnswers.frames(.box)
}
