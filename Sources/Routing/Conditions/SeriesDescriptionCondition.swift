// SPDX-License-Identifier: Apache-2.0

/// Series Description (0008,103E): free text.
struct SeriesDescriptionCondition: RouteCondition {
    static let key = "seriesDescription"
    static let form = TextTest.form

    private let test: TextTest

    init(_ value: ConditionValue) throws(ConditionProblems) { test = try TextTest(value) }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        test.evaluate(facts.seriesDescription, attribute: "Series Description")
    }
}
