// SPDX-License-Identifier: Apache-2.0
//
// The modules of the Multi-frame True Color SC Image IOD in the order of PS3.3 table A.8-5, each a table of attribute,
// type and source. `ObjectModules` has those that all kinds of objects share. Left out: the optional functional groups,
// which viewers do not read in secondary captures.

import Imaging

/// Everything that the sources of the module tables of pictures need.
struct PicturesContext {
    let object: ObjectContext
    let frames: [SegmentationFrame]
    /// The picture with the largest finding, counted from 1.
    let representative: Int
    let rows: Int
    let columns: Int
    /// The words that all captions share.
    let comments: String
    /// The value of Pixel Data.
    let pixelData: [UInt8]

    /// Pixel Spacing, which a picture has from its frame, because the frame is not scaled; `nil` unless all sources have
    /// the same positive one.
    var pixelSpacing: [String]? {
        let spacing = object.first.pixelSpacing
        let isUsable = spacing.count == 2 && spacing.compactMap(Double.init).count { $0 > 0 && $0.isFinite } == 2
        return isUsable && object.sources.allSatisfy { $0.pixelSpacing == spacing } ? spacing : nil
    }

    /// Body Part Examined; `nil` if it is not known, so that a paired part is possible.
    var bodyPart: ElementValue? { object.first.bodyPartExamined.flatMap(WrittenText.codeString) }

    /// One item per picture, in their order: its source frame.
    var sourceImages: [ItemElements] {
        frames.map { frame in
            let instance = object.sources[frame.source]
            return ItemElements([
                (.referencedSOPClassUID, .text(instance.sopClassUID)),
                (.referencedSOPInstanceUID, .text(instance.sopInstanceUID)),
                (.referencedFrameNumber, instance.numberOfFrames > 1 ? .text("\(frame.frameNumber)") : nil),
                // The frame keeps its place in the picture.
                (.spatialLocationsPreserved, .text("YES")),
                (.purposeOfReferenceCodeSequence, Code.item(Code.sourceImage)),
            ])
        }
    }
}

typealias PicturesRow = ModuleRow<PicturesContext>

/// The tables of the modules that only pictures have.
enum PicturesModules {
    static let all: [[PicturesRow]] = [
        captureEquipment, generalImage, generalReference, imagePixel, multiFrame, framePointers, captureMultiFrame,
    ]

    /// PS3.3 C.8.6.1, and the attributes of C.7.3.1 that other kinds do not have.
    private static let captureEquipment: [PicturesRow] = [
        // A picture is not an image of its source's modality any more: hanging protocols and other programs must not
        // take the series for one.
        .init(.modality, .type1) { _ in .text("OT") },
        .init(.bodyPartExamined, .type3) { $0.bodyPart },
        .init(.laterality, .type2C) { $0.bodyPart == nil ? .empty : nil },
        .init(.conversionType, .type1) { _ in .text("WSD") },
    ]

    /// PS3.3 C.7.6.1.
    private static let generalImage: [PicturesRow] = [
        .init(.imageType, .type3) { _ in .text("DERIVED", "SECONDARY") },
        .init(.instanceNumber, .type2) { _ in .text("1") },
        .init(.patientOrientation, .type2C) { _ in .empty },
        .init(.contentDate, .type2C) { .text($0.object.created.date) },
        .init(.contentTime, .type2C) { .text($0.object.created.time) },
        .init(.imageComments, .type3) { WrittenText.ascii($0.comments, limit: 1024) },
        .init(.lossyImageCompression, .type3) { .text($0.object.compression == nil ? "00" : "01") },
        .init(.lossyImageCompressionRatio, .type1C) {
            $0.object.compression.flatMap { $0.ratios.isEmpty ? nil : WrittenText.decimals($0.ratios) }
        },
        .init(.lossyImageCompressionMethod, .type1C) {
            $0.object.compression.flatMap { $0.methods.isEmpty ? nil : .text($0.methods.joined(separator: "\\")) }
        },
    ]

    /// PS3.3 C.12.4.
    private static let generalReference: [PicturesRow] = [
        .init(.sourceImageSequence, .type3) { .items($0.sourceImages) },
        .init(.derivationDescription, .type3) { _ in .text("contour of a segmentation and caption burnt in") },
        .init(.derivationCodeSequence, .type3) { _ in Code.item(Code.segmentation) },
    ]

    /// PS3.3 C.7.6.3, with the values of A.8.5.4.
    private static let imagePixel: [PicturesRow] = [
        .init(.samplesPerPixel, .type1) { _ in .short(3) },
        .init(.photometricInterpretation, .type1) { _ in .text("RGB") },
        .init(.planarConfiguration, .type1C) { _ in .short(0) },
        .init(.rows, .type1) { .short($0.rows) },
        .init(.columns, .type1) { .short($0.columns) },
        .init(.bitsAllocated, .type1) { _ in .short(8) },
        .init(.bitsStored, .type1) { _ in .short(8) },
        .init(.highBit, .type1) { _ in .short(7) },
        .init(.pixelRepresentation, .type1) { _ in .short(0) },
        .init(.pixelData, .type1) { .bytes($0.pixelData) },
    ]

    /// PS3.3 C.7.6.6, with the vector of C.8.6.4.
    ///
    /// Pages are the frames of the stack. Without a time between frames, viewers do not play the pictures as a film.
    /// C.8.6.3 makes Frame Increment Pointer type 1C: one frame does not need an order.
    private static let multiFrame: [PicturesRow] = [
        .init(.numberOfFrames, .type1) { .text("\($0.frames.count)") },
        .init(.frameIncrementPointer, .type1C) { $0.frames.count > 1 ? .tag(of: .pageNumberVector) : nil },
        .init(.pageNumberVector, .type1C) {
            $0.frames.count > 1 ? .text($0.frames.map { "\($0.placeInStack)" }.joined(separator: "\\")) : nil
        },
    ]

    /// PS3.3 C.7.6.9.
    private static let framePointers: [PicturesRow] = [
        .init(.representativeFrameNumber, .type3) { .short($0.representative) }
    ]

    /// PS3.3 C.8.6.3.
    private static let captureMultiFrame: [PicturesRow] = [
        // The caption does not identify the patient, but the source's own pixels may.
        .init(.burnedInAnnotation, .type1) { context in
            .text(context.object.sources.contains(where: \.hasBurnedInAnnotation) ? "YES" : "NO")
        },
        .init(.pixelSpacing, .type1C) { $0.pixelSpacing.map(WrittenText.decimals) },
    ]
}
