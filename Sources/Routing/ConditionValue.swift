// SPDX-License-Identifier: Apache-2.0

/// The value of a condition as a configuration holds it, whatever the file's language: scalars are texts.
public indirect enum ConditionValue: Sendable, Hashable {
    case text(String)
    case list([ConditionValue])
    /// Keys in the order of the file.
    case map([Entry])
    /// Nothing at all.
    case empty

    public struct Entry: Sendable, Hashable {
        public var key: String
        public var value: ConditionValue

        public init(_ key: String, _ value: ConditionValue) {
            self.key = key
            self.value = value
        }
    }
}

/// One step from a value to a part of it.
public enum ConditionStep: Sendable, Hashable {
    case key(String)
    case index(Int)
}

/// One thing wrong with a condition, and where in its value.
public struct ConditionProblem: Error, Sendable, Hashable, CustomStringConvertible {
    public var path: [ConditionStep]
    /// The last key of the path itself is meant, not its value: it is unknown.
    public var isAboutKey: Bool
    public var reason: String

    public init(path: [ConditionStep] = [], isAboutKey: Bool = false, _ reason: String) {
        self.path = path
        self.isAboutKey = isAboutKey
        self.reason = reason
    }

    public var description: String { reason }

    func within(_ step: ConditionStep) -> ConditionProblem {
        ConditionProblem(path: [step] + path, isAboutKey: isAboutKey, reason)
    }
}

/// Everything that is wrong with a condition or a set of them; never empty.
public struct ConditionProblems: Error, Sendable, Hashable, CustomStringConvertible {
    public var problems: [ConditionProblem]

    public init(_ problems: [ConditionProblem]) {
        precondition(!problems.isEmpty, "an error has a reason")
        self.problems = problems
    }

    init(_ reason: String, path: [ConditionStep] = []) { self.init([ConditionProblem(path: path, reason)]) }

    public var description: String { problems.map(\.reason).joined(separator: "; ") }

    func within(_ step: ConditionStep) -> ConditionProblems { ConditionProblems(problems.map { $0.within(step) }) }
}
