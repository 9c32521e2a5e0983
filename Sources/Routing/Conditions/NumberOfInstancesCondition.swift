// SPDX-License-Identifier: Apache-2.0

/// Number of instances of the stack (not of the series it came in).
struct NumberOfInstancesCondition: RouteCondition {
    static let key = "numberOfInstances"
    static let form = NumberRange.form

    private let range: NumberRange

    init(_ value: ConditionValue) throws(ConditionProblems) { range = try NumberRange(value) }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        range.evaluate(Double(facts.numberOfInstances), attribute: "number of instances")
    }
}
