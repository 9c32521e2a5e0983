// SPDX-License-Identifier: Apache-2.0

/// The AE title that sent the stack; of several, one must hold.
struct CallingAETitleCondition: RouteCondition {
    static let key = "callingAeTitle"
    static let form = TextTest.form

    private let test: TextTest

    init(_ value: ConditionValue) throws(ConditionProblems) { test = try TextTest(value) }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        test.evaluate(facts.callingAETitles, attribute: "calling AE title")
    }
}
