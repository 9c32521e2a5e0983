// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Evaluation
import Imaging
import Segmentation

/// The segmenters to measure, each with the prompts to measure it on.
struct EvaluationPlans {
    private(set) var plans: [SegmenterPlan] = []

    /// Chooses the segmenters.
    ///
    /// - Parameters:
    ///   - named: `NAME` or `NAME@WEIGHTS`; empty for all installed segmenters that accept the cases.
    ///   - installed: the installed weights.
    ///   - cases: the labelled cases.
    ///   - truthBoxes: whether segmenters that take boxes are also measured with the box around the true structure.
    ///   - promptStudy: whether these segmenters are also measured with every enlargement and shift of the box, and
    ///     segmenters of volumes with boxes on other slices, and on several.
    /// - Throws: `UnavailableSegmenter`, or `CommandError` if there is nothing to measure.
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
            throw CommandError(
                "the segmenters to measure do not take boxes; leave out --truth-boxes and --prompt-study")
        }
        for plan in boxed {
            for prompt in promptStudy ? study(plan.segmenter) : [.truthBox] {
                plans.append(SegmenterPlan(plan.segmenter, prompt: prompt, takesSlices: plan.takesSlices))
            }
        }
    }

    private func study(_ segmenter: InstalledSegmenter) -> [PromptPlan] {
        let options = (try? Segmenters.entry(segmenter.descriptor.name))?.options ?? []
        guard segmenter.descriptor.accepts == .volume, options.contains(.keySlice) else { return PromptPlan.study }
        let several = options.contains(.slicePrompts) ? PromptPlan.severalPlaces : []
        return PromptPlan.study + PromptPlan.onePlace + several
    }
}
