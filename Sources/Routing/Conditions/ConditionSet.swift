// SPDX-License-Identifier: Apache-2.0

/// Conditions that must all hold.
public struct ConditionSet: Sendable {
    private let members: [(key: String, condition: any RouteCondition)]

    /// The keys of the conditions, in the order of the configuration.
    public var keys: [String] { members.map(\.key) }

    /// Reads a set such as `{modality: [MR], numberOfInstances: {min: 20}}`.
    ///
    /// - Throws: `ConditionProblems` with every error in the set and its place.
    public init(_ value: ConfigurationValue) throws(ConditionProblems) {
        guard case .map(let entries) = value.content else {
            throw ConditionProblems(value, "expected conditions such as {modality: [MR]}")
        }
        if entries.isEmpty {
            throw ConditionProblems(value, "a set without conditions would match every stack; add a condition")
        }
        var members: [(key: String, condition: any RouteCondition)] = []
        var problems: [ConditionProblem] = []
        for entry in entries {
            guard let kind = RouteConditions.named(entry.key) else {
                problems.append(.unknown("condition", entry, known: RouteConditions.all.map(\.key)))
                continue
            }
            do throws(ConditionProblems) {
                members.append((entry.key, try kind.condition(entry.value)))
            } catch {
                problems += error.problems
            }
        }
        if !problems.isEmpty { throw ConditionProblems(problems) }
        self.members = members
    }

    /// Reads one set, or a list of alternative sets.
    ///
    /// At least one set must hold.
    ///
    /// - Throws: `ConditionProblems` with every error in the sets and its place.
    public static func alternatives(_ value: ConfigurationValue) throws(ConditionProblems) -> [ConditionSet] {
        guard case .list(let values) = value.content else { return [try ConditionSet(value)] }
        if values.isEmpty {
            throw ConditionProblems(value, "the list is empty; expected one set of conditions or a list of them")
        }
        return try values.readAll { value throws(ConditionProblems) in try ConditionSet(value) }
    }

    /// Evaluates every condition, even after one that does not match.
    public func explain(_ facts: StackFacts) -> SetExplanation {
        let conditions = members.map { member in
            ConditionExplanation(condition: member.key, result: member.condition.evaluate(facts))
        }
        return SetExplanation(outcome: .all(conditions.map(\.result.outcome)), conditions: conditions)
    }
}

/// An error in a condition, and its place in the configuration.
public struct ConditionProblem: Error, Sendable, Hashable {
    /// The place of the value, or of the key if the key is unknown.
    public var place: ConfigurationPlace
    /// What is wrong and what to write instead.
    public var reason: String

    public init(at place: ConfigurationPlace, _ reason: String) {
        self.place = place
        self.reason = reason
    }

    /// The problem "unknown condition 'modalty'; did you mean 'modality'?".
    static func unknown(_ what: String, _ entry: ConfigurationValue.Entry, known: [String]) -> ConditionProblem {
        let advice = Spelling.advice(for: entry.key, among: known)
        return ConditionProblem(at: entry.keyPlace, "unknown \(what) '\(entry.key)'; \(advice)")
    }
}

/// All errors in a condition or a set of conditions; never empty.
public struct ConditionProblems: Error, Sendable, Hashable, CustomStringConvertible {
    /// In the order of the file.
    public var problems: [ConditionProblem]

    init(_ problems: [ConditionProblem]) {
        precondition(!problems.isEmpty, "an error has a reason")
        self.problems = problems
    }

    init(_ value: ConfigurationValue, _ reason: String) { self.init([ConditionProblem(at: value.place, reason)]) }

    /// The reasons without their places.
    public var description: String { problems.map(\.reason).joined(separator: "; ") }
}

extension Sequence<ConfigurationValue> {
    /// Reads every value, so that one error does not hide the next.
    func readAll<Result>(
        _ read: (ConfigurationValue) throws(ConditionProblems) -> Result
    ) throws(ConditionProblems) -> [Result] {
        var results: [Result] = []
        var problems: [ConditionProblem] = []
        for value in self {
            do throws(ConditionProblems) {
                results.append(try read(value))
            } catch {
                problems += error.problems
            }
        }
        if !problems.isEmpty { throw ConditionProblems(problems) }
        return results
    }
}
