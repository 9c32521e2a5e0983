// SPDX-License-Identifier: Apache-2.0

internal import Imaging

/// What the box does to one box-prompted segmenter: Dice over how much the truth's box is enlarged and shifted, beside
/// that of its own prompts.
public struct PromptStudy: Sendable, Hashable, Codable {
    public struct Cell: Sendable, Hashable, Codable {
        public var enlargement: Double
        public var shift: Double
        public var dice: Estimate
    }

    public var name: String
    /// How the truth's boxes reach it: one box a frame, one in each slice, or one carried through the volume.
    public var boxes: String
    /// Cases that all of it is about.
    public var cases: Int
    public var cells: [Cell]
    /// Of the same cases; `nil` when they were not segmented so.
    public var automatic: Estimate?

    public func cell(enlargement: Double, shift: Double) -> Cell? {
        cells.first { abs($0.enlargement - enlargement) < 1e-6 && abs($0.shift - shift) < 1e-6 }
    }

    /// One for each segmenter that was given more than one kind of truth box.
    static func studies(_ results: [CaseResult], plans: [SegmenterPlan], resampling: Resampling) -> [PromptStudy] {
        var names: [String] = []
        for plan in plans where !names.contains(plan.name) { names.append(plan.name) }
        return names.compactMap { name in
            let own = plans.filter { $0.name == name }
            guard own.count(where: { $0.prompt != .automatic }) > 1, let first = own.first else { return nil }
            return PromptStudy(
                results.filter { $0.name == name && $0.scores != nil }, first, own.map(\.prompt), resampling)
        }
    }

    private init?(_ results: [CaseResult], _ plan: SegmenterPlan, _ prompts: [PromptPlan], _ resampling: Resampling) {
        let boxed = prompts.filter { $0 != .automatic }
        let byPrompt = Dictionary(grouping: results, by: \.key.prompt)
        // Cells are compared: only cases that every box has an answer for.
        let shared =
            boxed.map { Set((byPrompt[$0] ?? []).map(\.key.caseID)) }
            .reduce(nil) { (all: Set<String>?, some) in all?.intersection(some) ?? some } ?? []
        func estimate(_ prompt: PromptPlan) -> Estimate? {
            let own = (byPrompt[prompt] ?? []).filter { shared.contains($0.key.caseID) }
            return Estimate(own.compactMap(\.scores?.dice), resampling: resampling)
        }
        guard !shared.isEmpty else { return nil }
        name = plan.name
        cases = shared.count
        let isVolume = results.contains { $0.kind == .volume }
        boxes =
            !isVolume
            ? "one box a frame"
            : plan.segmenter.descriptor.accepts == .volume
                ? "one box on the slice with the most truth, carried through the volume" : "one box in each slice"
        cells = boxed.compactMap { prompt in
            guard case .truthBox(let enlargement, let shift) = prompt else { return nil }
            return estimate(prompt).map { Cell(enlargement: enlargement, shift: shift, dice: $0) }
        }
        automatic = estimate(.automatic)
    }
}
