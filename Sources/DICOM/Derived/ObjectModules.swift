// SPDX-License-Identifier: Apache-2.0
//
// The modules that all kinds of objects share, each a table of attribute, type and source: PS3.3 C.7.1 to C.7.5, C.12.1.

import Imaging

typealias ObjectRow = ModuleRow<ObjectContext>

/// The tables of the modules that all kinds of objects share.
enum ObjectModules {
    static let all: [[ObjectRow]] = [
        patient, generalStudy, patientStudy, generalSeries, generalEquipment, sopCommon,
    ]

    /// The tables of the modules that SEGs and pictures share, which are images.
    static let ofImages = all + [commonInstanceReference]

    /// PS3.3 C.7.1.1.
    private static let patient: [ObjectRow] = [
        .init(.patientName, .type2) { $0.copied(.patientName) },
        .init(.patientID, .type2) { $0.copied(.patientID) },
        .init(.issuerOfPatientID, .type3) { $0.copied(.issuerOfPatientID) },
        .init(.patientBirthDate, .type2) { $0.copied(.patientBirthDate) },
        .init(.patientBirthTime, .type3) { $0.copied(.patientBirthTime) },
        .init(.patientSex, .type2) { $0.copied(.patientSex) },
        .init(.otherPatientIDs, .type3) { $0.copied(.otherPatientIDs) },
        .init(.otherPatientNames, .type3) { $0.copied(.otherPatientNames) },
        .init(.ethnicGroup, .type3) { $0.copied(.ethnicGroup) },
        .init(.patientComments, .type3) { $0.copied(.patientComments) },
        .init(.patientIdentityRemoved, .type3) { $0.copied(.patientIdentityRemoved) },
        .init(.deidentificationMethod, .type1C) {
            $0.newest.string(.patientIdentityRemoved) == "YES" ? $0.copied(.deidentificationMethod) : nil
        },
    ]

    /// PS3.3 C.7.2.1.
    private static let generalStudy: [ObjectRow] = [
        .init(.studyInstanceUID, .type1) { .text($0.first.studyInstanceUID) },
        .init(.studyDate, .type2) { $0.copied(.studyDate) },
        .init(.studyTime, .type2) { $0.copied(.studyTime) },
        .init(.referringPhysicianName, .type2) { $0.copied(.referringPhysicianName) },
        .init(.studyID, .type2) { $0.copied(.studyID) },
        .init(.accessionNumber, .type2) { $0.copied(.accessionNumber) },
        .init(.studyDescription, .type3) { $0.copied(.studyDescription) },
    ]

    /// PS3.3 C.7.2.2.
    private static let patientStudy: [ObjectRow] = [
        .init(.patientAge, .type3) { $0.copied(.patientAge) },
        .init(.patientSize, .type3) { $0.copied(.patientSize) },
        .init(.patientWeight, .type3) { $0.copied(.patientWeight) },
        .init(.occupation, .type3) { $0.copied(.occupation) },
        .init(.additionalPatientHistory, .type3) { $0.copied(.additionalPatientHistory) },
    ]

    /// PS3.3 C.7.3.1; Modality is part of each kind's own modules.
    private static let generalSeries: [ObjectRow] = [
        .init(.seriesInstanceUID, .type1) { .text($0.description.seriesInstanceUID) },
        .init(.seriesNumber, .type1) { .text("\($0.description.seriesNumber)") },
        .init(.seriesDate, .type3) { .text($0.created.date) },
        .init(.seriesTime, .type3) { .text($0.created.time) },
        .init(.seriesDescription, .type3) { WrittenText.ascii($0.description.seriesDescription, limit: 64) },
    ]

    /// PS3.3 C.7.5.1 (General Equipment), C.7.5.2 (Enhanced General Equipment).
    private static let generalEquipment: [ObjectRow] = [
        .init(.manufacturer, .type1) { _ in .text(Maker.manufacturer) },
        .init(.manufacturerModelName, .type1) { _ in .text(Maker.model) },
        // The attribute must have a value, and a program does not have a serial number.
        .init(.deviceSerialNumber, .type1) { _ in .text("0") },
        .init(.softwareVersions, .type1) { WrittenText.ascii($0.description.softwareVersion, limit: 64) },
    ]

    /// PS3.3 C.12.1.
    private static let sopCommon: [ObjectRow] = [
        .init(.specificCharacterSet, .type1C) { $0.copied(.specificCharacterSet) },
        .init(.instanceCreationDate, .type3) { .text($0.created.date) },
        .init(.instanceCreationTime, .type3) { .text($0.created.time) },
        .init(.sopClassUID, .type1) { .text($0.description.kind.sopClassUID) },
        .init(.sopInstanceUID, .type1) { .text($0.description.sopInstanceUID) },
        .init(.timezoneOffsetFromUTC, .type3) { $0.copied(.timezoneOffsetFromUTC) },
        .init(.contributingEquipmentSequence, .type3) { .items([Maker.contribution($0)]) },
    ]

    /// PS3.3 C.12.2.
    private static let commonInstanceReference: [ObjectRow] = [
        .init(.referencedSeriesSequence, .type1C) { .items(InstanceReferences.ofStudy($0)) },
        .init(.studiesContainingOtherReferencedInstancesSequence, .type1C) {
            let others = InstanceReferences.ofOtherStudies($0)
            return others.isEmpty ? nil : .items(others)
        },
        // The objects that this one replaces (C.17.2.1). The IODs do not have this attribute, and readers pass over it.
        .init(.predecessorDocumentsSequence, .type3) {
            let predecessors = InstanceReferences.predecessors($0)
            return predecessors.isEmpty ? nil : .items(predecessors)
        },
    ]
}

/// The maker that the objects of Kontur name.
enum Maker {
    static let manufacturer = "KONTUR"
    static let model = "Kontur"
    /// Names the program, not the machine: the writers do not know on which machine they run.
    static let deviceUID = DerivedUID.make(["kontur device"])

    /// The item of Contributing Equipment Sequence by which Kontur recognises an object that an archive sends back.
    static func contribution(_ context: ObjectContext) -> ItemElements {
        ItemElements([
            (.purposeOfReferenceCodeSequence, Code.item(Code.processingEquipment)),
            (.manufacturer, .text(manufacturer)),
            (.manufacturerModelName, .text(model)),
            (.softwareVersions, WrittenText.ascii(context.description.softwareVersion, limit: 64)),
            (.contributionDateTime, .text(context.created.date + context.created.time)),
        ])
    }
}

/// Codes that the objects of Kontur have, and the Code Sequence Macro (PS3.3 8.8).
enum Code {
    /// PS3.16 CID 7005.
    static let processingEquipment = CodedConcept("109102", "DCM", "Processing Equipment")
    /// PS3.16 CID 7203.
    static let segmentation = CodedConcept("113076", "DCM", "Segmentation")
    /// PS3.16 CID 7202.
    static let sourceImage = CodedConcept("121322", "DCM", "Source image for image processing operation")
    /// PS3.16 CID 7151: what lies around the segments of a label map.
    static let background = CodedConcept("125040", "DCM", "Background")
    /// PS3.16 CID 7162.
    static let artificialIntelligence = CodedConcept("123110", "DCM", "Artificial Intelligence")

    /// A sequence with one code.
    static func item(_ concept: CodedConcept) -> ElementValue {
        .items([
            ItemElements([
                (.codeValue, WrittenText.ascii(concept.value, limit: 16)),
                (.codingSchemeDesignator, WrittenText.ascii(concept.scheme, limit: 16)),
                (.codeMeaning, WrittenText.ascii(concept.meaning, limit: 64)),
            ])
        ])
    }
}
