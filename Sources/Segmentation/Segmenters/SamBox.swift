// SPDX-License-Identifier: Apache-2.0
//
// sam-box: polyps in single frames by Segment Anything, from a box (and points that refine it). The picture as bytes ->
// longest side to 1024 by Pillow's bilinear -> ImageNet's mean and deviation -> padded with zeros -> image encoder -> mask
// decoder, the single mask -> logits enlarged to 1024, the padding cut off, resized to the frame -> above 0.

internal import Inference

enum SamBox: PromptedRecipe {
    static let entry = PromptedTarget.polyp.entry(
        name: "sam-box", version: "1.0.0", family: .sam,
        title: "polyps in single colonoscopy frames, from a box",
        paper: "Kirillov 2023 (Segment Anything)",
        options: [.box, .points, .margin, .shift])

    static let rules = PromptedRules(
        name: entry.name, family: .sam, margin: 10, shift: 10, smallestObject: 0,
        trustsPredictedIoU: true)

    static let answers = PromptedAnswers.frames(.box)
}
