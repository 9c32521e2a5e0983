// SPDX-License-Identifier: Apache-2.0

/// Holds if at least one of the conditions inside does not hold.
///
/// With a list of sets, it holds if every set fails.
///
/// An undetermined set inside leaves `not` undetermined, so a missing attribute never makes it match.
struct NotCondition: RouteCondition {
    static let kind = RouteConditionKind("not", form: "conditions such as {modality: [MR]}, or a list of such sets") {
        value throws(ConditionProblems) in try NotCondition(value)
    }

    /// Reading recurses once per level.
    private static let maximumDepth = 8

    private let sets: [ConditionSet]

    private init(_ value: ConfigurationValue) throws(ConditionProblems) {
        if value.depth > Self.maximumDepth {
            throw ConditionProblems(value, "conditions are nested more than \(Self.maximumDepth) levels deep")
        }
        sets = try ConditionSet.alternatives(value)
    }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        let explanations = sets.map { $0.explain(facts) }
        let outcome = RouteOutcome.any(explanations.map(\.outcome)).inverted
        // The reason names only the conditions that decided.
        let deciding = explanations.flatMap(\.conditions).filter { condition in
            switch outcome {
            case .matched: condition.result.outcome == .notMatched
            case .notMatched: condition.result.outcome == .matched
            case .undetermined: condition.result.outcome == .undetermined
            }
        }
        return ConditionResult(outcome, deciding.map(\.result.reason).joined(separator: "; "))
    }
}

extension ConfigurationValue {
    /// Levels of lists and maps inside each other.
    fileprivate var depth: Int {
        switch content {
        case .text, .empty: 0
        case .list(let values): 1 + (values.map(\.depth).max() ?? 0)
        case .map(let entries): 1 + (entries.map(\.value.depth).max() ?? 0)
        }
    }
}
