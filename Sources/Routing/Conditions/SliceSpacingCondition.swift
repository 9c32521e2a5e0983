// SPDX-License-Identifier: Apache-2.0

/// Distance between the centres of neighbouring slices, mm: of their positions, or as Spacing Between Slices says.
struct SliceSpacingCondition: RouteCondition {
    static let key = "sliceSpacing"
    static let form = NumberRange.form

    private let range: NumberRange

    init(_ value: ConditionValue) throws(ConditionProblems) { range = try NumberRange(value) }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        range.evaluate(facts.sliceSpacing, attribute: "slice spacing", unit: " mm")
    }
}
