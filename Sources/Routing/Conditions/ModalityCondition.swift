// SPDX-License-Identifier: Apache-2.0

/// Modality (0008,0060): PS3.3 C.7.3.1.1.1.
struct ModalityCondition: RouteCondition {
    static let key = "modality"
    static let form = TextTest.form

    private let test: TextTest

    init(_ value: ConditionValue) throws(ConditionProblems) { test = try TextTest(value) }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        test.evaluate(facts.modality, attribute: "Modality")
    }
}
