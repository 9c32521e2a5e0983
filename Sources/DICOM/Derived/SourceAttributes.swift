// SPDX-License-Identifier: Apache-2.0
//
// The attributes that Kontur takes from source instances, beside the image: PS3.3 C.7.1 to C.7.6 and C.12.1.

import Platform

/// The attributes of a source instance that a SEG copies, or that decide its stack, its route or the bytes of the SEG.
///
/// The writer of SEGs reads attributes only through ``CopiedValues``, which refuses an attribute that these tables lack.
/// A digest of each of them takes part in derived UIDs, so two objects with different copied values have different
/// UIDs. Attributes that `InstanceFile.imageDigest()` covers are not repeated here.
public enum SourceAttributes {
    /// The attributes that a SEG copies from the source received last: patient, study and their encoding.
    static let ofNewest: [Attribute] = [
        // PS3.3 C.7.1.1 (Patient)
        .patientName, .patientID, .issuerOfPatientID, .patientBirthDate, .patientBirthTime, .patientSex,
        .otherPatientIDs, .otherPatientNames, .ethnicGroup, .patientComments, .patientIdentityRemoved,
        .deidentificationMethod,
        // PS3.3 C.7.2.1 (General Study), C.7.2.2 (Patient Study)
        .studyInstanceUID, .studyDate, .studyTime, .referringPhysicianName, .studyID, .accessionNumber,
        .studyDescription, .patientAge, .patientSize, .patientWeight, .occupation, .additionalPatientHistory,
        // PS3.3 C.7.3.1 (General Series), C.7.4.1 (Frame of Reference), C.12.1 (SOP Common)
        .seriesInstanceUID, .positionReferenceIndicator, .specificCharacterSet, .timezoneOffsetFromUTC,
    ]

    /// The attributes of each source that decide bytes of the SEG, as the source wrote them.
    static let ofEach: [Attribute] = [
        .sopClassUID, .bodyPartExamined, .frameOfReferenceUID, .imagePositionPatient, .imageOrientationPatient,
        .pixelSpacing, .lossyImageCompression, .lossyImageCompressionRatio, .lossyImageCompressionMethod,
        .burnedInAnnotation,
    ]

    /// The numbers that decide which pixels a mask may cover.
    static let ofPadding: [Attribute] = [.pixelPaddingValue, .pixelPaddingRangeLimit]

    /// The other attributes that conditions and stacks read.
    static let ofRouting: [Attribute] = [
        .imageType, .acquisitionTime, .modality, .manufacturer, .seriesDescription, .mrAcquisitionType, .echoTime,
        .echoNumbers, .instanceNumber, .temporalPositionIdentifier, .seriesNumber, .acquisitionNumber, .inversionTime,
        .triggerTime, .nominalPercentageOfCardiacPhase, .cineRate, .frameTime, .frameTimeVector,
    ]

    static let copied = Set(ofNewest + ofEach)

    /// The digest of every value, by the keyword of its attribute.
    ///
    /// A digest is the SHA-256 of the bytes of the value without padding: 64 lower-case hexadecimal digits. An
    /// attribute that is absent or empty is left out. The transfer syntax is listed only if it is lossy, and Burned In
    /// Annotation only if it is YES, because they then decide attributes of objects.
    static func digests(of data: DataSet) -> [String: String] {
        var digests: [String: String] = [:]
        for attribute in ofNewest + ofEach + ofRouting {
            if let value = data.trimmed(attribute) { digests[attribute.keyword] = digest(of: [value]) }
        }
        // A number is digested as text, because a padding of 0 differs from none.
        for attribute in ofPadding {
            if let value = data.integer(attribute) { digests[attribute.keyword] = digest(ofValue: "\(value)") }
        }
        if data.string(.burnedInAnnotation) != "YES" { digests[Attribute.burnedInAnnotation.keyword] = nil }
        if let method = LossyCompression.method(ofSyntax: data.transferSyntaxUID) {
            digests[Attribute.transferSyntaxUID.keyword] = digest(of: [Array(method.utf8)])
        }
        return digests
    }

    /// The digest that an attribute with this value has.
    public static func digest(ofValue value: String) -> String { digest(of: [Array(value.utf8)]) }

    /// One digest of everything that a SEG copies from the source received last.
    ///
    /// - Parameter digests: the digests of that source by keyword, keyed or not.
    /// - Returns: 64 lower-case hexadecimal digits.
    public static func digestOfNewest(_ digests: [String: String]) -> String { digest(of: ofNewest, in: digests) }

    /// One digest of everything that one source gives to a SEG, apart from its image.
    ///
    /// - Parameter digests: the digests of the source by keyword, keyed or not.
    /// - Returns: 64 lower-case hexadecimal digits.
    public static func digestOfEach(_ digests: [String: String]) -> String {
        digest(of: ofEach + [.transferSyntaxUID] + ofPadding, in: digests)
    }

    private static func digest(of attributes: [Attribute], in digests: [String: String]) -> String {
        digest(
            of: attributes.flatMap { attribute -> [[UInt8]] in
                guard let value = digests[attribute.keyword] else { return [] }
                return [Array(attribute.keyword.utf8), Array(value.utf8)]
            })
    }

    private static func digest(of fields: [[UInt8]]) -> String {
        var hash = SHA256()
        for field in fields { hash.update(field: field) }
        return hash.finalize().hexadecimal
    }
}

/// The values of a source instance that a SEG may copy.
///
/// Reading an attribute that ``SourceAttributes`` does not list is a mistake of the program: the value would not take
/// part in the UID of the object.
struct CopiedValues {
    private let data: DataSet

    init(_ data: DataSet) { self.data = data }

    /// The bytes of a value without padding; `nil` if the attribute is absent or empty.
    func bytes(_ attribute: Attribute) -> [UInt8]? {
        check(attribute)
        return data.trimmed(attribute)
    }

    /// The values of a text attribute in ASCII, without padding.
    func strings(_ attribute: Attribute) -> [String] {
        check(attribute)
        return data.strings(attribute)
    }

    /// The numbers of an attribute as decimal strings: as the source wrote them if it wrote text.
    ///
    /// Numbers of VR FL and FD become their shortest decimal forms.
    func decimals(_ attribute: Attribute) -> [String] {
        check(attribute)
        return data.decimals(attribute)
    }

    /// The first value of a text attribute in ASCII; `nil` if it is absent or empty.
    func string(_ attribute: Attribute) -> String? {
        check(attribute)
        return data.string(attribute)
    }

    private func check(_ attribute: Attribute) {
        precondition(
            SourceAttributes.copied.contains(attribute), "\(attribute.keyword) is not in the table of copied attributes"
        )
    }
}

extension DataSet {
    /// The bytes of a value without spaces and NULs on both sides; `nil` if nothing is left.
    fileprivate func trimmed(_ attribute: Attribute) -> [UInt8]? {
        guard let element = element(attribute) else { return nil }
        let isPadding = { (byte: UInt8) in byte == 0x20 || byte == 0 }
        var value = bytes[element.range][...]
        value = value.drop(while: isPadding)
        while let last = value.last, isPadding(last) { value.removeLast() }
        return value.isEmpty ? nil : Array(value)
    }
}
