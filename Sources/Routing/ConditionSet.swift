// SPDX-License-Identifier: Apache-2.0

/// Conditions that must all hold.
public struct ConditionSet: Sendable {
    public var conditions: [any RouteCondition]

    public init(_ conditions: [any RouteCondition]) { self.conditions = conditions }

    /// Reads `{modality: [MR], ...}`; each condition apart, so one error does not hide the next.
    ///
    /// - Throws: `ConditionProblems`, with the path of each in `value`.
    public init(_ value: ConditionValue) throws(ConditionProblems) {
        guard case .map(let entries) = value else {
            throw ConditionProblems("expected conditions such as {modality: [MR]}")
        }
        if entries.isEmpty { throw ConditionProblems("no condition: a set of none would match everything") }
        var conditions: [any RouteCondition] = []
        var problems: [ConditionProblem] = []
        for (index, entry) in entries.enumerated() {
            if entries[..<index].contains(where: { $0.key == entry.key }) {
                problems.append(
                    ConditionProblem(path: [.key(entry.key)], isAboutKey: true, "'\(entry.key)' stands here twice"))
                continue
            }
            guard let type = RouteConditions.named(entry.key) else {
                problems.append(.unknownKey(entry.key, known: RouteConditions.all.map { $0.key }, what: "condition"))
                continue
            }
            do throws(ConditionProblems) {
                conditions.append(try type.init(entry.value))
            } catch {
                problems += error.problems.map { $0.within(.key(entry.key)) }
            }
        }
        if !problems.isEmpty { throw ConditionProblems(problems) }
        self.conditions = conditions
    }

    /// Reads one set, or a list of sets of which one must hold.
    public static func alternatives(_ value: ConditionValue) throws(ConditionProblems) -> [ConditionSet] {
        guard case .list(let values) = value else { return [try ConditionSet(value)] }
        if values.isEmpty { throw ConditionProblems("no condition: expected one set of conditions or a list of them") }
        var sets: [ConditionSet] = []
        var problems: [ConditionProblem] = []
        for (index, value) in values.enumerated() {
            do throws(ConditionProblems) {
                sets.append(try ConditionSet(value))
            } catch {
                problems += error.problems.map { $0.within(.index(index)) }
            }
        }
        if !problems.isEmpty { throw ConditionProblems(problems) }
        return sets
    }

    public func explain(_ facts: StackFacts) -> SetExplanation {
        let conditions = conditions.map { condition in
            ConditionExplanation(condition: type(of: condition).key, result: condition.evaluate(facts))
        }
        return SetExplanation(outcome: .all(conditions.map(\.result.outcome)), conditions: conditions)
    }
}

extension ConditionProblem {
    /// "unknown condition 'modalty'; did you mean 'modality'?", or the list of those known.
    static func unknownKey(_ key: String, known: [String], what: String) -> ConditionProblem {
        let advice: String
        if let nearest = Spelling.nearest(to: key, among: known) {
            advice = "did you mean '\(nearest)'?"
        } else {
            advice = "known are \(known.joined(separator: ", "))"
        }
        return ConditionProblem(path: [.key(key)], isAboutKey: true, "unknown \(what) '\(key)'; \(advice)")
    }
}
