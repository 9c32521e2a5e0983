// SPDX-License-Identifier: Apache-2.0

/// Body Part Examined (0018,0015): PS3.16 Annex L.
struct BodyPartCondition: RouteCondition {
    static let key = "bodyPart"
    static let form = TextTest.form

    private let test: TextTest

    init(_ value: ConditionValue) throws(ConditionProblems) { test = try TextTest(value) }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        test.evaluate(facts.bodyPart, attribute: "Body Part Examined")
    }
}
