// SPDX-License-Identifier: Apache-2.0
//
// The modules of the Comprehensive SR IOD in the order of PS3.3 table A.35.3-1, each a table of attribute, type and
// source. `ObjectModules` has those that all kinds of objects share.

typealias ReportRow = ModuleRow<ReportContent>

/// The tables of the modules that only a report has.
enum ReportModules {
    static let all: [[ReportRow]] = [documentSeries, documentGeneral, documentContent, sopCommon]

    /// PS3.3 C.17.1.
    private static let documentSeries: [ReportRow] = [
        .init(.modality, .type1) { _ in .text("SR") },
        .init(.referencedPerformedProcedureStepSequence, .type2) { _ in nil },
    ]

    /// PS3.3 C.17.2.
    private static let documentGeneral: [ReportRow] = [
        .init(.instanceNumber, .type1) { _ in .text("1") },
        .init(.contentDate, .type1) { .text($0.object.created.date) },
        .init(.contentTime, .type1) { .text($0.object.created.time) },
        .init(.preliminaryFlag, .type3) { _ in .text("PRELIMINARY") },
        .init(.completionFlag, .type1) { _ in .text("COMPLETE") },
        .init(.completionFlagDescription, .type3) {
            WrittenText.ascii("\($0.object.description.standing); research software", limit: 64)
        },
        .init(.verificationFlag, .type1) { _ in .text("UNVERIFIED") },
        .init(.performedProcedureCodeSequence, .type2) { _ in nil },
        .init(.currentRequestedProcedureEvidenceSequence, .type1C) { .items(InstanceReferences.evidence($0)) },
        .init(.predecessorDocumentsSequence, .type1C) {
            let predecessors = InstanceReferences.predecessors($0.object)
            return predecessors.isEmpty ? nil : .items(predecessors)
        },
    ]

    /// PS3.3 C.12.1.1: the coding scheme that no part of the standard names.
    private static let sopCommon: [ReportRow] = [
        .init(.codingSchemeIdentificationSequence, .type3) { _ in
            .items([
                ItemElements([
                    (.codingSchemeDesignator, .text(ReportCode.scheme)),
                    (.codingSchemeName, .text("Measurements of Kontur")),
                    (.codingSchemeResponsibleOrganization, .text(Maker.manufacturer)),
                ])
            ])
        }
    ]

    /// PS3.3 C.17.3: the root content item is a part of the data set itself.
    private static let documentContent: [ReportRow] = [
        .valueType, .conceptNameCodeSequence, .continuityOfContent, .contentTemplateSequence, .contentSequence,
    ].map { (attribute: Attribute) in
        .init(attribute, .type1) { $0.root.elements[attribute] }
    }
}

extension InstanceReferences {
    /// The instances that the content tree names: the sources, and the SEG if something was found.
    fileprivate static func evidence(_ content: ReportContent) -> [ItemElements] {
        let first = content.object.first
        var evidence = content.object.sources.map { source in
            InstanceReference(
                studyInstanceUID: first.studyInstanceUID, seriesInstanceUID: first.seriesInstanceUID,
                sopClassUID: source.sopClassUID, sopInstanceUID: source.sopInstanceUID)
        }
        if case .nothing = content.findings {} else { evidence.append(content.segmentation) }
        return byStudy(evidence, instances: .referencedSOPSequence)
    }
}
