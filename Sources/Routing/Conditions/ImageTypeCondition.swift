// SPDX-License-Identifier: Apache-2.0

/// Image Type (0008,0008): one of its values must be equal, or the pattern be found in `ORIGINAL\PRIMARY\...`.
struct ImageTypeCondition: RouteCondition {
    static let key = "imageType"
    static let form = TextTest.form

    private let test: TextTest

    init(_ value: ConditionValue) throws(ConditionProblems) { test = try TextTest(value) }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        test.evaluate(facts.imageType, attribute: "Image Type")
    }
}
