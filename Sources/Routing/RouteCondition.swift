// SPDX-License-Identifier: Apache-2.0

/// Whether something holds for a stack. An attribute that is missing makes it undetermined, never quietly false.
public enum RouteOutcome: String, Sendable, Hashable, Codable {
    case matched
    case notMatched
    case undetermined

    /// All must hold: one that does not decides, else one that cannot be told.
    static func all(_ outcomes: some Sequence<RouteOutcome>) -> RouteOutcome {
        outcomes.reduce(.matched) { so, next in
            so == .notMatched || next == .notMatched ? .notMatched : so == .undetermined ? so : next
        }
    }

    /// One must hold: one that does decides, else one that cannot be told.
    static func any(_ outcomes: some Sequence<RouteOutcome>) -> RouteOutcome {
        all(outcomes.map(\.inverted)).inverted
    }

    var inverted: RouteOutcome {
        switch self {
        case .matched: .notMatched
        case .notMatched: .matched
        case .undetermined: .undetermined
        }
    }
}

/// An outcome and its reason in words. The words quote attributes, descriptions among them: they are kept in the database
/// and shown by `route explain`, never logged.
public struct ConditionResult: Sendable, Hashable, Codable {
    public var outcome: RouteOutcome
    public var reason: String

    public init(_ outcome: RouteOutcome, _ reason: String) {
        self.outcome = outcome
        self.reason = reason
    }
}

/// One typed condition of a route.
///
/// To add one: a file in `Conditions/`, and a line in `RouteConditions.all`.
public protocol RouteCondition: Sendable {
    /// Its key in the configuration.
    static var key: String { get }
    /// What its value looks like, for error messages, such as `a text or a list of texts`.
    static var form: String { get }

    /// - Throws: `ConditionProblems`: everything that is wrong with the value.
    init(_ value: ConditionValue) throws(ConditionProblems)

    func evaluate(_ facts: StackFacts) -> ConditionResult
}

/// The conditions there are: an explicit list.
public enum RouteConditions {
    public static let all: [any RouteCondition.Type] = [
        ModalityCondition.self,
        SOPClassCondition.self,
        BodyPartCondition.self,
        StudyDescriptionCondition.self,
        SeriesDescriptionCondition.self,
        ImageTypeCondition.self,
        ManufacturerCondition.self,
        CallingAETitleCondition.self,
        MRAcquisitionTypeCondition.self,
        SliceSpacingCondition.self,
        NumberOfInstancesCondition.self,
        NotCondition.self,
    ]

    public static func named(_ key: String) -> (any RouteCondition.Type)? { all.first { $0.key == key } }
}
