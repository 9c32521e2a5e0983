// SPDX-License-Identifier: Apache-2.0

/// Whether something holds for a stack.
///
/// A missing attribute makes a condition undetermined, never silently false. Only `imageType` does not match then.
public enum RouteOutcome: String, Sendable, Hashable, Codable {
    case matched
    case notMatched
    case undetermined

    /// The outcome of several conditions that must all hold.
    ///
    /// The outcome is `notMatched` if any condition does not match. Otherwise, it is `undetermined` if any condition is
    /// undetermined.
    static func all(_ outcomes: some Sequence<RouteOutcome>) -> RouteOutcome {
        outcomes.reduce(.matched) { so, next in
            so == .notMatched || next == .notMatched ? .notMatched : so == .undetermined ? so : next
        }
    }

    /// The outcome of several alternative conditions.
    ///
    /// At least one must hold.
    ///
    /// The outcome is `matched` if any condition matches. Otherwise, it is `undetermined` if any condition is
    /// undetermined.
    static func any(_ outcomes: some Sequence<RouteOutcome>) -> RouteOutcome {
        all(outcomes.map(\.inverted)).inverted
    }

    /// The outcome of `not`; an undetermined outcome stays undetermined.
    var inverted: RouteOutcome {
        switch self {
        case .matched: .notMatched
        case .notMatched: .matched
        case .undetermined: .undetermined
        }
    }
}

/// The outcome of one condition and its reason in words.
public struct ConditionResult: Sendable, Hashable, Codable {
    /// Whether the condition holds.
    public var outcome: RouteOutcome
    /// Quotes attributes, which may name a patient.
    ///
    /// The database stores it and `route explain` shows it. Logs and the audit trail never contain it.
    public var reason: String

    public init(_ outcome: RouteOutcome, _ reason: String) {
        self.outcome = outcome
        self.reason = reason
    }
}

/// One condition of a route, read from a configuration.
public protocol RouteCondition: Sendable {
    /// Tests the facts of a stack: a pure function.
    func evaluate(_ facts: StackFacts) -> ConditionResult
}

/// One kind of condition that a route may name.
///
/// To add a kind, add a line in `AttributeConditions`, or a file in `Conditions/` and a line in `RouteConditions.all`.
public struct RouteConditionKind: Sendable {
    /// The key in the configuration.
    public let key: String
    /// The form of the value, for error messages, such as `a text or a list of texts`.
    public let form: String
    private let read: @Sendable (ConfigurationValue) throws(ConditionProblems) -> any RouteCondition

    init(
        _ key: String, form: String,
        _ read: @escaping @Sendable (ConfigurationValue) throws(ConditionProblems) -> any RouteCondition
    ) {
        self.key = key
        self.form = form
        self.read = read
    }

    /// Reads the value of a condition of this kind.
    ///
    /// - Throws: `ConditionProblems` with everything that is wrong with the value.
    public func condition(_ value: ConfigurationValue) throws(ConditionProblems) -> any RouteCondition {
        try read(value)
    }
}

/// All kinds of conditions: an explicit list.
public enum RouteConditions {
    /// The table of attributes first, then the conditions that have a file of their own.
    public static let all: [RouteConditionKind] =
        AttributeConditions.all + [SOPClassCondition.kind, NotCondition.kind]

    /// The kind with this key; `nil` if the key is unknown.
    public static func named(_ key: String) -> RouteConditionKind? { all.first { $0.key == key } }
}
