// SPDX-License-Identifier: Apache-2.0

/// Manufacturer (0008,0070) of the equipment.
struct ManufacturerCondition: RouteCondition {
    static let key = "manufacturer"
    static let form = TextTest.form

    private let test: TextTest

    init(_ value: ConditionValue) throws(ConditionProblems) { test = try TextTest(value) }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        test.evaluate(facts.manufacturer, attribute: "Manufacturer")
    }
}
