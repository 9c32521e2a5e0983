// SPDX-License-Identifier: Apache-2.0

/// The route that takes a stack, and the reason why each condition of each route holds or fails.
///
/// The node stores the decision with the stack and does not make it again.
public struct RouteDecision: Sendable, Hashable, Codable {
    /// Which route takes the stack, if any.
    public enum Outcome: Sendable, Hashable, Codable {
        /// The name of the first route, in the order of the configuration, whose conditions all hold.
        case routed(String)
        /// The stack does not match any route. Missing attributes do not affect this result.
        case unmatched
        /// No route matched, and at least one could not be evaluated because an attribute is missing.
        case undetermined
    }

    public var outcome: Outcome
    /// Every route in the order of the configuration, including the routes after the one that takes the stack.
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

    /// The name of the route that takes the stack; `nil` if no route does.
    public var route: String? {
        if case .routed(let name) = outcome { name } else { nil }
    }

    /// The decision in one line without attribute values, fit for logs and the audit trail.
    ///
    /// Examples: `routed: colonoscopy`, `unmatched`, `undetermined: left-atrium (mrAcquisitionType)`.
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

/// The evaluation of one route for one stack.
public struct RouteExplanation: Sendable, Hashable, Codable {
    /// The name of the route.
    public var route: String
    /// Matched if one of the sets matches.
    public var outcome: RouteOutcome
    /// The alternative sets of the route.
    ///
    /// At least one must hold.
    public var sets: [SetExplanation]

    public init(route: String, outcome: RouteOutcome, sets: [SetExplanation]) {
        self.route = route
        self.outcome = outcome
        self.sets = sets
    }
}

/// The evaluation of one set of conditions, which must all hold.
public struct SetExplanation: Sendable, Hashable, Codable {
    /// Matched if all conditions match.
    public var outcome: RouteOutcome
    /// In the order of the configuration.
    public var conditions: [ConditionExplanation]

    public init(outcome: RouteOutcome, conditions: [ConditionExplanation]) {
        self.outcome = outcome
        self.conditions = conditions
    }
}

/// The evaluation of one condition.
public struct ConditionExplanation: Sendable, Hashable, Codable {
    /// The key of the condition.
    public var condition: String
    /// Whether the condition holds, and why.
    public var result: ConditionResult

    public init(condition: String, result: ConditionResult) {
        self.condition = condition
        self.result = result
    }
}
