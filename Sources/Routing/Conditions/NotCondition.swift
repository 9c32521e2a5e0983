// SPDX-License-Identifier: Apache-2.0

/// Holds when the conditions inside do not all hold; a list of sets is any-of, as under `when`.
///
/// What cannot be told inside cannot be told outside: a missing attribute leaves `not` undetermined too.
struct NotCondition: RouteCondition {
    static let key = "not"
    static let form = "conditions such as {modality: [MR]}, or a list of such sets"

    private let sets: [ConditionSet]

    init(_ value: ConditionValue) throws(ConditionProblems) {
        if value.depth > 8 { throw ConditionProblems("conditions inside each other too deeply") }
        sets = try ConditionSet.alternatives(value)
    }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        let explanations = sets.map { $0.explain(facts) }
        let outcome = RouteOutcome.any(explanations.map(\.outcome)).inverted
        // Only what decided is worth telling; where nothing could, what is missing.
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

extension ConditionValue {
    fileprivate var depth: Int {
        switch self {
        case .text, .empty: 0
        case .list(let values): 1 + (values.map(\.depth).max() ?? 0)
        case .map(let entries): 1 + (entries.map(\.value.depth).max() ?? 0)
        }
    }
}
