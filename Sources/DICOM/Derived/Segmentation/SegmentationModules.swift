// SPDX-License-Identifier: Apache-2.0
//
// The modules of the Segmentation IOD in the order of PS3.3 table A.51-1, each a table of attribute, type and source.
// `ObjectModules` has those that all kinds of objects share. Left out: the optional Clinical Trial, Specimen and
// acquisition modules.

import Imaging

typealias SegmentationRow = ModuleRow<SegmentationContext>

/// The tables of the modules that only a SEG has.
enum SegmentationModules {
    static let all: [[SegmentationRow]] = [
        segmentationSeries, frameOfReference, generalImage, imagePixel, segmentationImage, multiFrameFunctionalGroups,
        multiFrameDimension,
    ]

    /// PS3.3 C.8.20.1, and the attribute of C.7.3.1 that other kinds do not have.
    private static let segmentationSeries: [SegmentationRow] = [
        .init(.modality, .type1) { _ in .text("SEG") },
        .init(.bodyPartExamined, .type3) { $0.object.first.bodyPartExamined.flatMap(WrittenText.codeString) },
    ]

    /// PS3.3 C.7.4.1.
    private static let frameOfReference: [SegmentationRow] = [
        .init(.frameOfReferenceUID, .type1C) { $0.geometry.map { .text($0.frameOfReferenceUID) } },
        .init(.positionReferenceIndicator, .type2C) { context in
            context.geometry.map { _ in context.object.copied(.positionReferenceIndicator) ?? .empty }
        },
    ]

    /// PS3.3 C.7.6.1.
    private static let generalImage: [SegmentationRow] = [
        .init(.instanceNumber, .type1) { _ in .text("1") },
        .init(.patientOrientation, .type2C) { $0.geometry == nil ? .empty : nil },
        .init(.contentDate, .type1) { .text($0.object.created.date) },
        .init(.contentTime, .type1) { .text($0.object.created.time) },
        .init(.burnedInAnnotation, .type3) { _ in .text("NO") },
    ]

    /// PS3.3 C.7.6.3, with the values of C.8.20.2.
    private static let imagePixel: [SegmentationRow] = [
        .init(.samplesPerPixel, .type1) { _ in .short(1) },
        .init(.photometricInterpretation, .type1) { _ in .text("MONOCHROME2") },
        .init(.rows, .type1) { .short($0.rows) },
        .init(.columns, .type1) { .short($0.columns) },
        .init(.bitsAllocated, .type1) { .short($0.encoding.bits) },
        .init(.bitsStored, .type1) { .short($0.encoding.bits) },
        .init(.highBit, .type1) { .short($0.encoding.bits - 1) },
        .init(.pixelRepresentation, .type1) { _ in .short(0) },
        // C.7.5.1.1.2, C.8.20.2.3: the value of the background.
        .init(.pixelPaddingValue, .type1C) { $0.encoding == .labelMap ? .short(SegmentItem.background) : nil },
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
        .init(.lossyImageCompression, .type1) { .text($0.object.compression == nil ? "00" : "01") },
        .init(.lossyImageCompressionRatio, .type1C) {
            $0.object.compression.flatMap { $0.ratios.isEmpty ? nil : WrittenText.decimals($0.ratios) }
        },
        .init(.lossyImageCompressionMethod, .type1C) {
            $0.object.compression.flatMap { $0.methods.isEmpty ? nil : .text($0.methods.joined(separator: "\\")) }
        },
        .init(.segmentationType, .type1) { .text($0.encoding.rawValue) },
        .init(.segmentationFractionalType, .type1C) { $0.encoding == .fractional ? .text("PROBABILITY") : nil },
        .init(.maximumFractionalValue, .type1C) { $0.encoding == .fractional ? .short(255) : nil },
        .init(.segmentsOverlap, .type3) { _ in .text("NO") },
        .init(.segmentSequence, .type1) { .items(SegmentItem.all($0)) },
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
            .items([.init([(.dimensionOrganizationUID, .text($0.object.partUID("dimension organization")))])])
        },
        .init(.dimensionIndexSequence, .type1) { .items(FunctionalGroups.dimensions($0)) },
    ]
}
