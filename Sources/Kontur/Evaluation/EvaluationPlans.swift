// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Evaluation
import Imaging
import Segmentation

/// Which segmenters are measured on which prompts.
struct EvaluationPlans {
    private(set) var plans: [SegmenterPlan] = []

    /// - Parameters:
    ///   - named: `NAME` or `NAME@WEIGHTS`; empty: all that are installed and take such cases.
    ///   - truthBoxes: also prompt those that take boxes from the truth.
    ///   - promptStudy: and with every enlargement and shift of these boxes.
    /// - Throws: `MissingModel`, or `CommandError` when nothing is left to measure.
    init(
        named: [String], installed: InstalledModels, cases: [EvaluationCase], truthBoxes: Bool, promptStudy: Bool
    ) throws {
        let chosen: [InstalledSegmenter]
        if named.isEmpty {
            chosen = try Segmenters.installed(installed.weights).filter { segmenter in
                cases.contains { $0.kind == (segmenter.descriptor.accepts == .volume ? .volume : .frame) }
            }
        } else {
            chosen = try named.map { text in
                let parts = text.split(separator: "@", maxSplits: 1).map(String.init)
                return try installed.segmenter(parts[0], weights: parts.count > 1 ? parts[1] : nil)
            }
        }
        for segmenter in chosen where !plans.contains(where: { $0.segmenter == segmenter }) {
            plans.append(SegmenterPlan(segmenter, takesSlices: !named.isEmpty))
        }
        guard truthBoxes else { return }
        let boxed = plans.filter { plan in
            (try? Segmenters.entry(plan.segmenter.descriptor.name))?.options.contains(.box) == true
        }
        guard !boxed.isEmpty else {
            throw CommandError("no segmenter on trial takes a box: leave out --truth-boxes and --prompt-study")
        }
        for plan in boxed {
            for prompt in promptStudy ? PromptPlan.study : [.truthBox] {
                plans.append(SegmenterPlan(plan.segmenter, prompt: prompt, takesSlices: plan.takesSlices))
            }
        }
    }
}
