// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// The attributes of one SOP instance that conditions, stacks and tables use.
///
/// Text is decoded to UTF-8; an attribute that is absent or empty is `nil` (or an empty list). Values are as the sender
/// wrote them: nothing here is checked against the standard's value sets.
public struct InstanceHeader: Sendable, Hashable, Codable {
    /// Whether there is anything to segment.
    public enum Kind: Sendable, Hashable, Codable {
        case image
        /// SEG, SR, presentation states, key objects, RT, documents, or no Pixel Data; `reason` says which.
        case notAnImage(reason: String)
    }

    // SOP Common (PS3.3 C.12.1), General Study (C.7.2.1), General Series (C.7.3.1)
    public var sopClassUID: String
    public var sopInstanceUID: String
    /// Transfer Syntax UID of the file; of a file without one, the syntax that was found in it.
    public var transferSyntaxUID: String
    public var studyInstanceUID: String
    public var seriesInstanceUID: String
    public var kind: Kind = .image
    /// Contributing Equipment Sequence, or Manufacturer, names Kontur: we made this ourselves.
    public var namesKontur = false
    public var modality: String?
    public var bodyPartExamined: String?
    /// Free text: never logged.
    public var studyDescription: String?
    /// Free text: never logged.
    public var seriesDescription: String?
    public var manufacturer: String?
    /// Only for the keyed hash of the audit trail: never logged, never stored.
    public var patientID: String?
    public var instanceNumber: Int?
    public var imageType: [String] = []

    // MR Image (PS3.3 C.8.3.1)
    public var mrAcquisitionType: String?
    /// ms.
    public var echoTime: Double?
    public var echoNumbers: [Int] = []
    public var temporalPositionIdentifier: Int?
    /// As written: HHMMSS.FFFFFF.
    public var acquisitionTime: String?

    // Image Pixel (PS3.3 C.7.6.3), Multi-frame (C.7.6.6)
    public var rows = 0
    public var columns = 0
    public var numberOfFrames = 1
    public var samplesPerPixel = 1
    public var photometricInterpretation = ""
    public var bitsAllocated = 0
    public var bitsStored = 0
    public var highBit = 0
    /// Pixel Representation 1: two's complement.
    public var isSigned = false
    public var planarConfiguration = 0

    // Image Plane (PS3.3 C.7.6.2), Frame of Reference (C.7.4.1)
    /// Where a single-frame image lies; `nil` when the attributes are absent, or not usable (see `planeProblem`).
    public var plane: PlaneGeometry?
    /// Why `plane` is `nil` although there is an Image Position or Image Orientation.
    public var planeProblem: String?
    /// mm.
    public var sliceThickness: Double?
    /// mm.
    public var spacingBetweenSlices: Double?
    public var frameOfReferenceUID: String?

    /// SHA-256 of the pixel data as stored, and of the Image Pixel and Image Plane attributes; hexadecimal, lower case.
    /// Two variants of an instance with the same digest show the same image.
    public var imageDigest = ""

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
