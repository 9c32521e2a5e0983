// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// The attributes of one SOP instance that conditions, stacks and tables use.
///
/// Text is decoded to UTF-8. An attribute that is absent or empty is `nil`, or an empty list. Values are as the sender
/// wrote them: they are not checked against the standard's value sets.
public struct InstanceHeader: Sendable, Hashable, Codable {
    /// Whether the instance has an image to segment.
    public enum Kind: Sendable, Hashable, Codable {
        /// It has Pixel Data, and its SOP class is not one of the known classes without images.
        case image
        /// It is a SEG, an SR, a presentation state, a document or the like, or it has no Pixel Data.
        case notAnImage(reason: String)
    }

    // SOP Common (PS3.3 C.12.1), General Study (C.7.2.1), General Series (C.7.3.1)
    /// SOP Class UID.
    public var sopClassUID: String
    /// SOP Instance UID.
    public var sopInstanceUID: String
    /// Transfer Syntax UID of the file; without File Meta Information, the one that fits the encoding.
    public var transferSyntaxUID: String
    /// Study Instance UID.
    public var studyInstanceUID: String
    /// Series Instance UID.
    public var seriesInstanceUID: String
    /// Whether there is an image to segment.
    public var kind: Kind = .image
    /// Whether Contributing Equipment Sequence or Manufacturer names Kontur as the maker of this object.
    public var namesKontur = false
    /// Modality, such as `MR`.
    public var modality: String?
    /// Body Part Examined.
    public var bodyPartExamined: String?
    /// Study Description, free text: never logged.
    public var studyDescription: String?
    /// Series Description, free text: never logged.
    public var seriesDescription: String?
    /// Manufacturer of the equipment.
    public var manufacturer: String?
    /// Patient ID, only for the keyed hash of the audit trail: never logged, never stored.
    public var patientID: String?
    /// Series Number.
    public var seriesNumber: Int?
    /// Acquisition Number.
    public var acquisitionNumber: Int?
    /// Instance Number.
    public var instanceNumber: Int?
    /// The values of Image Type.
    public var imageType: [String] = []

    // MR Image (PS3.3 C.8.3.1)
    /// MR Acquisition Type: `2D` or `3D`.
    public var mrAcquisitionType: String?
    /// Echo Time, ms.
    public var echoTime: Double?
    /// The values of Echo Numbers.
    public var echoNumbers: [Int] = []
    /// Temporal Position Identifier.
    public var temporalPositionIdentifier: Int?
    /// Inversion Time, ms.
    public var inversionTime: Double?
    /// Trigger Time: the time after the R wave, ms.
    public var triggerTime: Double?
    /// Nominal Percentage of Cardiac Phase.
    public var cardiacPhasePercentage: Double?
    /// Stack ID of a frame; `nil` for instances.
    public var stackID: String?
    /// Acquisition Time as the sender wrote it: HHMMSS.FFFFFF.
    public var acquisitionTime: String?

    // Image Pixel (PS3.3 C.7.6.3), Multi-frame (C.7.6.6)
    /// Rows of a frame; 0 if absent.
    public var rows = 0
    /// Columns of a frame; 0 if absent.
    public var columns = 0
    /// Number of Frames, at least 1.
    public var numberOfFrames = 1
    /// Frames per second by the Cine module (C.7.6.5); `nil` if it is absent or unusable.
    public var framesPerSecond: Double?
    /// Samples per Pixel.
    public var samplesPerPixel = 1
    /// Photometric Interpretation; empty if absent.
    public var photometricInterpretation = ""
    /// Bits Allocated; 0 if absent.
    public var bitsAllocated = 0
    /// Bits Stored; if absent, Bits Allocated.
    public var bitsStored = 0
    /// High Bit; if absent, the highest stored bit.
    public var highBit = 0
    /// Whether Pixel Representation is 1: two's complement.
    public var isSigned = false
    /// Planar Configuration: 0 for colour by pixel, 1 for colour by plane.
    public var planarConfiguration = 0

    // Image Plane (PS3.3 C.7.6.2), Frame of Reference (C.7.4.1)
    /// The plane of a single-frame image in the patient; `nil` if the attributes are absent or unusable.
    public var plane: PlaneGeometry?
    /// The reason why `plane` is `nil` although Image Position or Image Orientation is present.
    public var planeProblem: String?
    /// Slice Thickness, mm, positive.
    public var sliceThickness: Double?
    /// Spacing Between Slices, mm, positive.
    public var spacingBetweenSlices: Double?
    /// Frame of Reference UID.
    public var frameOfReferenceUID: String?

    // Multi-frame Functional Groups (PS3.3 C.7.6.16)
    /// The attributes of each frame; `nil` if the functional groups do not give planes.
    public var frames: FrameTable?

    /// Makes a header from the required UIDs; every other attribute is absent.
    public init(
        sopClassUID: String, sopInstanceUID: String, transferSyntaxUID: String, studyInstanceUID: String,
        seriesInstanceUID: String
    ) {
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
        self.transferSyntaxUID = transferSyntaxUID
        self.studyInstanceUID = studyInstanceUID
        self.seriesInstanceUID = seriesInstanceUID
    }
}
