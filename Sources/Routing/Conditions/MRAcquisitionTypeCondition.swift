// SPDX-License-Identifier: Apache-2.0

/// MR Acquisition Type (0018,0023): 2D or 3D, PS3.3 C.8.3.1.
struct MRAcquisitionTypeCondition: RouteCondition {
    static let key = "mrAcquisitionType"
    static let form = TextTest.form

    private let test: TextTest

    init(_ value: ConditionValue) throws(ConditionProblems) { test = try TextTest(value) }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        test.evaluate(facts.mrAcquisitionType, attribute: "MR Acquisition Type")
    }
}
