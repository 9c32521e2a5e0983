// SPDX-License-Identifier: Apache-2.0

internal import Imaging

/// One way to segment volumes: a segmenter, and the boxes that it gets.
///
/// A table of these rows compares a box in each slice with one box that is tracked.
public struct PromptedWay: Sendable, Hashable, Codable {
    /// Name of the segmenter in reports.
    public var name: String
    /// The boxes in words, such as one box in each slice.
    public var boxes: String
    /// Whether the boxes came from the truth.
    public var isOracle: Bool
    /// The number of volumes: those that were segmented in every way.
    public var cases: Int
    /// The mean number of boxes per volume that a person would draw; `nil` in results of an earlier version.
    public var prompts: Double?
    /// Seconds per volume.
    public var seconds: Estimate?
    /// Mean Dice.
    public var dice: Estimate

    /// One row for each plan that does not change the boxes, in the order of the plans.
    ///
    /// - Parameters:
    ///   - results: the results of all plans.
    ///   - plans: the plans; without one that gives boxes to volumes, there are no rows.
    ///   - resampling: settings of the intervals.
    /// - Returns: the rows.
    static func all(_ results: [CaseResult], plans: [SegmenterPlan], resampling: Bootstrap) -> [PromptedWay] {
        let scored = results.filter { $0.kind == .volume && $0.scores != nil }
        let ways = plans.compactMap { plan -> (plan: SegmenterPlan, results: [CaseResult])? in
            guard plan.prompt.hasUnchangedBoxes else { return nil }
            let own = scored.filter { $0.name == plan.name && $0.key.prompt == plan.prompt }
            return own.isEmpty ? nil : (plan, own)
        }
        guard ways.contains(where: { $0.plan.prompt != .automatic }) else { return [] }
        let shared = ways.dropFirst().reduce(Set(ways[0].results.map(\.key.caseID))) { cases, way in
            cases.intersection(way.results.map(\.key.caseID))
        }
        return ways.compactMap { way in
            let own = way.results.filter { shared.contains($0.key.caseID) }
            guard let dice = Estimate(own.compactMap(\.scores?.dice), resampling: resampling) else { return nil }
            let prompts = own.compactMap(\.prompts)
            return PromptedWay(
                name: way.plan.name, boxes: words(way.plan), isOracle: way.plan.prompt != .automatic, cases: own.count,
                prompts: prompts.count == own.count
                    ? Double(prompts.reduce(0, +)) / Double(prompts.count) : nil,
                seconds: Estimate(own.compactMap(\.seconds), resampling: resampling), dice: dice)
        }
    }

    private static func words(_ plan: SegmenterPlan) -> String {
        let isTracked = plan.segmenter.descriptor.accepts == .volume
        switch plan.prompt {
        case .automatic: return isTracked ? "its own choice of slice and box" : "its own box in each slice"
        case .truthBox:
            return isTracked ? "one box on the slice with the largest truth" : "one box in each slice"
        case .keyBoxes(let places):
            if places.count > 1 { return "\(places.count) boxes, evenly spaced" }
            return places.map { "one box at \(Int(($0 * 100).rounded()))% of the structure" }.joined()
        }
    }
}

extension PromptPlan {
    /// Whether boxes of the truth are neither enlarged nor shifted.
    fileprivate var hasUnchangedBoxes: Bool {
        if case .truthBox(let enlargement, let shift) = self { return enlargement == 0 && shift == 0 }
        return true
    }
}
