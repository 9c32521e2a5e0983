// SPDX-License-Identifier: Apache-2.0

import Routing
import Testing

@Suite struct `Instances of one series` {
    /// The conflict of instances with these values, each hashed to itself in brackets.
    private func conflict(_ instances: [[String: String]]) -> PatientConflict? {
        PatientConflict(instances.map { $0.mapValues { "<\($0)>" } }) { "<\($0)>" }
    }

    @Test(arguments: ["PatientID", "PatientBirthDate"])
    func `name two patients if their ID or birth date differs`(_ keyword: String) {
        #expect(conflict([[keyword: "a"], [keyword: "b"]])?.attributes == [keyword])
        #expect(conflict([[keyword: "a"], [keyword: "a"]]) == nil)
        #expect(conflict([[keyword: "a"], [:]]) == nil)
    }

    @Test func `name two patients if two issuers gave the same ID`() {
        #expect(
            conflict([
                ["PatientID": "1", "IssuerOfPatientID": "a"], ["PatientID": "1", "IssuerOfPatientID": "b"],
            ])?.attributes == ["IssuerOfPatientID"])
        #expect(conflict([["IssuerOfPatientID": "a"], ["IssuerOfPatientID": "b"]]) == nil)
    }

    @Test func `name two patients if both sexes are known and differ`() {
        #expect(conflict([["PatientSex": "M"], ["PatientSex": "F"]])?.attributes == ["PatientSex"])
        for unknown in ["U", "UNKNOWN", "m"] {
            #expect(conflict([["PatientSex": "M"], ["PatientSex": unknown]]) == nil)
        }
    }

    @Test func `name one patient if only the spelling of the name differs`() {
        #expect(conflict([["PatientID": "1", "PatientName": "A^B"], ["PatientID": "1", "PatientName": "AB"]]) == nil)
    }

    @Test func `have a conflict that is said without values`() {
        let found = conflict([["PatientID": "a", "PatientSex": "M"], ["PatientID": "b", "PatientSex": "F"]])
        #expect(found?.description == "its instances name two patients: PatientID, PatientSex differ")
    }
}
