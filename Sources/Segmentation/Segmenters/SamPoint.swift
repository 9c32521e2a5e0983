// SPDX-License-Identifier: Apache-2.0
//
// sam-point: polyps in single frames by Segment Anything, from points. As sam-box, but that a lone point is answered with
// the best of three masks by predicted IoU.

internal import Inference

enum SamPoint: PromptedRecipe {
    static let entry = PromptedTarget.polyp.entry(
        name: "sam-point", version: "1.0.0", family: .sam,
        title: "polyps in single colonoscopy frames, from points",
        paper: "Kirillov 2023 (Segment Anything)",
        options: [.points, .shift], refusals: [.box: "its prompts are points: choose sam-box"])

    static let rules = PromptedRules(
        name: entry.name, family: .sam, margin: 0, shift: 10, smallestObject: 0,
        trustsPredictedIoU: true)

    static let answers = PromptedAnswers.frames(.point)
}
