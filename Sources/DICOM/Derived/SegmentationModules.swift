// SPDX-License-Identifier: Apache-2.0
//
// The modules of the Segmentation IOD in the order of PS3.3 table A.51-1, each a table of attribute, type and source.
// Left out: the optional Clinical Trial, Specimen and acquisition modules.

import Imaging

typealias SegmentationRow = ModuleRow<SegmentationContext>

/// The tables of all modules that Kontur writes.
enum SegmentationModules {
    static let all: [[SegmentationRow]] = [
        patient, generalStudy, patientStudy, generalSeries, frameOfReference, generalEquipment, generalImage,
        imagePixel, segmentationImage, multiFrameFunctionalGroups, multiFrameDimension, commonInstanceReference,
        sopCommon,
    ]

    /// PS3.3 C.7.1.1.
    private static let patient: [SegmentationRow] = [
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
    private static let generalStudy: [SegmentationRow] = [
        .init(.studyInstanceUID, .type1) { .text($0.first.studyInstanceUID) },
        .init(.studyDate, .type2) { $0.copied(.studyDate) },
        .init(.studyTime, .type2) { $0.copied(.studyTime) },
        .init(.referringPhysicianName, .type2) { $0.copied(.referringPhysicianName) },
        .init(.studyID, .type2) { $0.copied(.studyID) },
        .init(.accessionNumber, .type2) { $0.copied(.accessionNumber) },
        .init(.studyDescription, .type3) { $0.copied(.studyDescription) },
    ]

    /// PS3.3 C.7.2.2.
    private static let patientStudy: [SegmentationRow] = [
        .init(.patientAge, .type3) { $0.copied(.patientAge) },
        .init(.patientSize, .type3) { $0.copied(.patientSize) },
        .init(.patientWeight, .type3) { $0.copied(.patientWeight) },
        .init(.occupation, .type3) { $0.copied(.occupation) },
        .init(.additionalPatientHistory, .type3) { $0.copied(.additionalPatientHistory) },
    ]

    /// PS3.3 C.7.3.1 (General Series), C.8.20.1 (Segmentation Series).
    private static let generalSeries: [SegmentationRow] = [
        .init(.modality, .type1) { _ in .text("SEG") },
        .init(.seriesInstanceUID, .type1) { .text($0.description.seriesInstanceUID) },
        .init(.seriesNumber, .type1) { .text("\($0.description.seriesNumber)") },
        .init(.seriesDate, .type3) { .text($0.created.date) },
        .init(.seriesTime, .type3) { .text($0.created.time) },
        .init(.seriesDescription, .type3) {
            WrittenText.ascii("KONTUR \($0.description.segmenter.segmentLabel) (\($0.description.standing))", limit: 64)
        },
        .init(.bodyPartExamined, .type3) { $0.first.bodyPartExamined.flatMap(WrittenText.codeString) },
    ]

    /// PS3.3 C.7.4.1.
    private static let frameOfReference: [SegmentationRow] = [
        .init(.frameOfReferenceUID, .type1C) { $0.geometry.map { .text($0.frameOfReferenceUID) } },
        .init(.positionReferenceIndicator, .type2C) { context in
            context.geometry.map { _ in context.copied(.positionReferenceIndicator) ?? .empty }
        },
    ]

    /// PS3.3 C.7.5.1 (General Equipment), C.7.5.2 (Enhanced General Equipment).
    private static let generalEquipment: [SegmentationRow] = [
        .init(.manufacturer, .type1) { _ in .text(Maker.manufacturer) },
        .init(.manufacturerModelName, .type1) { _ in .text(Maker.model) },
        // The attribute must have a value, and a program does not have a serial number.
        .init(.deviceSerialNumber, .type1) { _ in .text("0") },
        .init(.softwareVersions, .type1) { WrittenText.ascii($0.description.softwareVersion, limit: 64) },
    ]

    /// PS3.3 C.7.6.1.
    private static let generalImage: [SegmentationRow] = [
        .init(.instanceNumber, .type1) { _ in .text("1") },
        .init(.patientOrientation, .type2C) { $0.geometry == nil ? .empty : nil },
        .init(.contentDate, .type1) { .text($0.created.date) },
        .init(.contentTime, .type1) { .text($0.created.time) },
        .init(.burnedInAnnotation, .type3) { _ in .text("NO") },
    ]

    /// PS3.3 C.7.6.3, with the values of C.8.20.2.
    private static let imagePixel: [SegmentationRow] = [
        .init(.samplesPerPixel, .type1) { _ in .short(1) },
        .init(.photometricInterpretation, .type1) { _ in .text("MONOCHROME2") },
        .init(.rows, .type1) { .short($0.rows) },
        .init(.columns, .type1) { .short($0.columns) },
        .init(.bitsAllocated, .type1) { .short($0.isBinary ? 1 : 8) },
        .init(.bitsStored, .type1) { .short($0.isBinary ? 1 : 8) },
        .init(.highBit, .type1) { .short($0.isBinary ? 0 : 7) },
        .init(.pixelRepresentation, .type1) { _ in .short(0) },
        .init(.pixelData, .type1) { .bytes($0.pixelData) },
    ]

    /// PS3.3 C.8.20.2, with Content Identification (10.9).
    private static let segmentationImage: [SegmentationRow] = [
        .init(.imageType, .type1) { _ in .text("DERIVED", "PRIMARY") },
        .init(.contentLabel, .type1) { _ in .text("SEGMENTATION") },
        .init(.contentDescription, .type2) {
            WrittenText.ascii("\($0.description.segmenter.segmentLabel) by \($0.description.segmenter.name)", limit: 64)
        },
        .init(.contentCreatorName, .type2) { _ in .text("KONTUR^AI") },
        .init(.lossyImageCompression, .type1) { .text($0.compression == nil ? "00" : "01") },
        .init(.lossyImageCompressionRatio, .type1C) {
            $0.compression.flatMap { $0.ratios.isEmpty ? nil : WrittenText.decimals($0.ratios) }
        },
        .init(.lossyImageCompressionMethod, .type1C) {
            $0.compression.flatMap { $0.methods.isEmpty ? nil : .text($0.methods.joined(separator: "\\")) }
        },
        .init(.segmentationType, .type1) { .text($0.isBinary ? "BINARY" : "FRACTIONAL") },
        .init(.segmentationFractionalType, .type1C) { $0.isBinary ? nil : .text("PROBABILITY") },
        .init(.maximumFractionalValue, .type1C) { $0.isBinary ? nil : .short(255) },
        .init(.segmentsOverlap, .type3) { _ in .text("NO") },
        .init(.segmentSequence, .type1) { .items([SegmentItem.make($0)]) },
    ]

    /// PS3.3 C.7.6.16.
    private static let multiFrameFunctionalGroups: [SegmentationRow] = [
        .init(.numberOfFrames, .type1) { .text("\($0.frames.count)") },
        .init(.sharedFunctionalGroupsSequence, .type1) { .items([FunctionalGroups.shared($0)]) },
        .init(.perFrameFunctionalGroupsSequence, .type1) { context in
            .items(context.frames.map { FunctionalGroups.perFrame($0, of: context) })
        },
    ]

    /// PS3.3 C.7.6.17.
    private static let multiFrameDimension: [SegmentationRow] = [
        .init(.dimensionOrganizationSequence, .type1) {
            .items([.init([(.dimensionOrganizationUID, .text($0.partUID("dimension organization")))])])
        },
        .init(.dimensionIndexSequence, .type1) { .items(FunctionalGroups.dimensions($0)) },
    ]

    /// PS3.3 C.12.2.
    private static let commonInstanceReference: [SegmentationRow] = [
        .init(.referencedSeriesSequence, .type1C) { .items(InstanceReferences.ofStudy($0)) },
        .init(.studiesContainingOtherReferencedInstancesSequence, .type1C) {
            let others = InstanceReferences.ofOtherStudies($0)
            return others.isEmpty ? nil : .items(others)
        },
        // The SEGs that this one replaces (C.17.2.1). The IOD does not have this attribute, and readers pass over it.
        .init(.predecessorDocumentsSequence, .type3) {
            let predecessors = InstanceReferences.predecessors($0)
            return predecessors.isEmpty ? nil : .items(predecessors)
        },
    ]

    /// PS3.3 C.12.1.
    private static let sopCommon: [SegmentationRow] = [
        .init(.specificCharacterSet, .type1C) { $0.copied(.specificCharacterSet) },
        .init(.instanceCreationDate, .type3) { .text($0.created.date) },
        .init(.instanceCreationTime, .type3) { .text($0.created.time) },
        .init(.sopClassUID, .type1) { _ in .text(SOPClass.segmentation) },
        .init(.sopInstanceUID, .type1) { .text($0.description.sopInstanceUID) },
        .init(.timezoneOffsetFromUTC, .type3) { $0.copied(.timezoneOffsetFromUTC) },
        .init(.contributingEquipmentSequence, .type3) { .items([Maker.contribution($0)]) },
    ]
}

/// The maker that the objects of Kontur name.
enum Maker {
    static let manufacturer = "KONTUR"
    static let model = "Kontur"

    /// The item of Contributing Equipment Sequence by which Kontur recognises an object that an archive sends back.
    static func contribution(_ context: SegmentationContext) -> ItemElements {
        ItemElements([
            (.purposeOfReferenceCodeSequence, Code.item(Code.processingEquipment)),
            (.manufacturer, .text(manufacturer)),
            (.manufacturerModelName, .text(model)),
            (.softwareVersions, WrittenText.ascii(context.description.softwareVersion, limit: 64)),
            (.contributionDateTime, .text(context.created.date + context.created.time)),
        ])
    }
}

/// Codes that every SEG of Kontur has, and the Code Sequence Macro (PS3.3 8.8).
enum Code {
    /// PS3.16 CID 7005.
    static let processingEquipment = CodedConcept("109102", "DCM", "Processing Equipment")
    /// PS3.16 CID 7203.
    static let segmentation = CodedConcept("113076", "DCM", "Segmentation")
    /// PS3.16 CID 7202.
    static let sourceImage = CodedConcept("121322", "DCM", "Source image for image processing operation")
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
