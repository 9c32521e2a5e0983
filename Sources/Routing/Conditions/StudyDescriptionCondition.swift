// SPDX-License-Identifier: Apache-2.0

/// Study Description (0008,1030): free text.
struct StudyDescriptionCondition: RouteCondition {
    static let key = "studyDescription"
    static let form = TextTest.form

    private let test: TextTest

    init(_ value: ConditionValue) throws(ConditionProblems) { test = try TextTest(value) }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        test.evaluate(facts.studyDescription, attribute: "Study Description")
    }
}
