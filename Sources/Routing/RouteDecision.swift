// SPDX-License-Identifier: Apache-2.0

/// Which route a stack takes, and for every condition of every route why it held or not. Stored with the stack and not
/// made again.
public struct RouteDecision: Sendable, Hashable, Codable {
    public enum Outcome: Sendable, Hashable, Codable {
        /// By the first route, in the order of the configuration, whose conditions all hold.
        case routed(String)
        /// No route, and every one for certain.
        case unmatched
        /// No route, but one or more could not be told: an attribute is missing.
        case undetermined
    }

    public var outcome: Outcome
    public var routes: [RouteExplanation]

    public init(outcome: Outcome, routes: [RouteExplanation]) {
        self.outcome = outcome
        self.routes = routes
    }

    /// Decides: a pure function of the facts and the routes.
    public init(_ facts: StackFacts, routes: [Route]) {
        let explanations = routes.map { $0.explain(facts) }
        let outcome: Outcome
        if let taken = explanations.first(where: { $0.outcome == .matched }) {
            outcome = .routed(taken.route)
        } else {
            outcome = explanations.contains { $0.outcome == .undetermined } ? .undetermined : .unmatched
        }
        self.init(outcome: outcome, routes: explanations)
    }

    /// The route taken.
    public var route: String? {
        if case .routed(let name) = outcome { name } else { nil }
    }

    /// One line without attribute values, fit for logs and the audit trail: `routed: colonoscopy`, `unmatched`,
    /// `undetermined: left-atrium (mrAcquisitionType)`.
    public var summary: String {
        switch outcome {
        case .routed(let name): return "routed: \(name)"
        case .unmatched: return "unmatched"
        case .undetermined:
            let open = routes.filter { $0.outcome == .undetermined }.map { route in
                let missing = route.sets.filter { $0.outcome == .undetermined }.flatMap(\.conditions)
                    .filter { $0.result.outcome == .undetermined }.map(\.condition)
                return "\(route.route) (\(missing.joined(separator: ", ")))"
            }
            return "undetermined: \(open.joined(separator: ", "))"
        }
    }
}

/// One route, held against one stack.
public struct RouteExplanation: Sendable, Hashable, Codable {
    public var route: String
    public var outcome: RouteOutcome
    public var sets: [SetExplanation]

    public init(route: String, outcome: RouteOutcome, sets: [SetExplanation]) {
        self.route = route
        self.outcome = outcome
        self.sets = sets
    }
}

public struct SetExplanation: Sendable, Hashable, Codable {
    public var outcome: RouteOutcome
    public var conditions: [ConditionExplanation]

    public init(outcome: RouteOutcome, conditions: [ConditionExplanation]) {
        self.outcome = outcome
        self.conditions = conditions
    }
}

public struct ConditionExplanation: Sendable, Hashable, Codable {
    /// The key of the condition.
    public var condition: String
    public var result: ConditionResult

    public init(condition: String, result: ConditionResult) {
        self.condition = condition
        self.result = result
    }
}
