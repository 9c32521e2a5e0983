// SPDX-License-Identifier: Apache-2.0

/// The attributes by which the instances of one series name two patients (PS3.3 C.7.1.1).
///
/// A SEG names one patient, so such a series is not segmented. The spelling of a name alone is no conflict, and an
/// attribute that is missing in some instances is none either.
public struct PatientConflict: Sendable, Hashable, CustomStringConvertible {
    /// Keywords of the attributes that differ.
    public let attributes: [String]

    /// Compares the instances of a series; `nil` if they may be of one patient.
    ///
    /// - Parameters:
    ///   - instances: for each instance, a hash of each attribute's value by keyword. An attribute that is absent or
    ///     empty is left out.
    ///   - hash: the hash that an attribute with a value has in `instances`.
    public init?(_ instances: [[String: String]], hash: (String) -> String) {
        func values(_ keyword: String) -> Set<String> { Set(instances.compactMap { $0[keyword] }) }
        let patients = values("PatientID")
        let sexes = Set(["M", "F", "O"].map(hash))
        var found: [String] = []
        if patients.count > 1 { found.append("PatientID") }
        if patients.count == 1, values("IssuerOfPatientID").count > 1 { found.append("IssuerOfPatientID") }
        if values("PatientBirthDate").count > 1 { found.append("PatientBirthDate") }
        if values("PatientSex").intersection(sexes).count > 1 { found.append("PatientSex") }
        if found.isEmpty { return nil }
        attributes = found
    }

    /// The conflict in words, without values.
    public var description: String {
        let verb = attributes.count == 1 ? "differs" : "differ"
        return "its instances name two patients: \(attributes.joined(separator: ", ")) \(verb)"
    }
}
