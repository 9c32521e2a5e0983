// SPDX-License-Identifier: Apache-2.0

internal import Imaging

/// The effect of the box on one segmenter: Dice by enlargement and shift of the truth's box, compared with the
/// segmenter's own prompts.
public struct PromptStudy: Sendable, Hashable, Codable {
    /// One combination of enlargement and shift.
    public struct Cell: Sendable, Hashable, Codable {
        /// Fraction of width and height, negative to shrink.
        public var enlargement: Double
        /// Fraction of width and height.
        public var shift: Double
        /// Mean Dice.
        public var dice: Estimate
    }

    /// Name of the segmenter in reports.
    public var name: String
    /// The use of the truth's boxes in words, such as one box per frame.
    public var boxes: String
    /// The number of cases that were segmented with every box.
    public var cases: Int
    /// Mean Dice of these cases for each box.
    public var cells: [Cell]
    /// Mean Dice of these cases with the segmenter's own prompts; `nil` if they were not segmented
    /// like that.
    public var automatic: Estimate?

    /// The cell of an enlargement and a shift.
    public func cell(enlargement: Double, shift: Double) -> Cell? {
        cells.first { abs($0.enlargement - enlargement) < 1e-6 && abs($0.shift - shift) < 1e-6 }
    }

    /// One study for each segmenter that was prompted with more than one kind of truth box.
    static func studies(_ results: [CaseResult], plans: [SegmenterPlan], resampling: Bootstrap) -> [PromptStudy] {
        var names: [String] = []
        for plan in plans where !names.contains(plan.name) { names.append(plan.name) }
        return names.compactMap { name in
            let own = plans.filter { $0.name == name }
            guard own.count(where: { $0.prompt != .automatic }) > 1, let first = own.first else { return nil }
            return PromptStudy(
                results.filter { $0.name == name && $0.scores != nil }, first, own.map(\.prompt), resampling)
        }
    }

    private init?(_ results: [CaseResult], _ plan: SegmenterPlan, _ prompts: [PromptPlan], _ resampling: Bootstrap) {
        let boxed = prompts.filter { $0 != .automatic }
        let byPrompt = Dictionary(grouping: results, by: \.key.prompt)
        // Only cases with an answer for every box are compared.
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
            ? "one box per frame"
            : plan.segmenter.descriptor.accepts == .volume
                ? "one box on the slice with the largest true mask, carried through the volume"
                : "one box in each slice"
        cells = boxed.compactMap { prompt in
            guard case .truthBox(let enlargement, let shift) = prompt else { return nil }
            return estimate(prompt).map { Cell(enlargement: enlargement, shift: shift, dice: $0) }
        }
        automatic = estimate(.automatic)
    }
}
