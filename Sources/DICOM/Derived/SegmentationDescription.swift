// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// Segmentation Type (0062,0001): PS3.3 C.8.20.2.3.
public enum SegmentationType: String, Sendable, Hashable, Codable, CaseIterable {
    /// One bit per pixel.
    case binary
    /// One byte per pixel: a probability of 0...1 scaled to 0...255 (Segmentation Fractional Type PROBABILITY).
    case fractional
}

/// A reference to an instance by study, series and UIDs (PS3.3 C.17.2.1).
public struct InstanceReference: Sendable, Hashable, Codable {
    /// Study Instance UID.
    public var studyInstanceUID: String
    /// Series Instance UID.
    public var seriesInstanceUID: String
    /// SOP Class UID.
    public var sopClassUID: String
    /// SOP Instance UID.
    public var sopInstanceUID: String

    /// Makes a reference from the four UIDs.
    public init(studyInstanceUID: String, seriesInstanceUID: String, sopClassUID: String, sopInstanceUID: String) {
        self.studyInstanceUID = studyInstanceUID
        self.seriesInstanceUID = seriesInstanceUID
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
    }
}

/// Everything about a SEG that comes neither from its source images nor from its masks.
///
/// The writer does not read a clock or make random UIDs. The same description and sources therefore give the same
/// bytes.
public struct SegmentationDescription: Sendable, Hashable, Codable {
    /// SOP Instance UID of the SEG.
    public var sopInstanceUID: String
    /// Series Instance UID: each SEG is in a series of its own.
    public var seriesInstanceUID: String
    /// Series Number.
    public var seriesNumber: Int
    /// The moment the job was made, in seconds since 1970 UTC: Content, Series and Instance Creation Date and Time.
    ///
    /// The dates and times are written in the Timezone Offset From UTC of the sources, or in `localOffsetFromUTC` if
    /// the sources have none.
    public var created: Int64
    /// The offset of the node's time zone from UTC at `created`, in seconds.
    public var localOffsetFromUTC: Int
    /// Binary or fractional.
    public var type: SegmentationType
    /// The viewers that the geometry of images without a frame of reference is written for.
    public var viewerProfile: ViewerProfile.Name
    /// The segmenter that made the masks: names, codes, colour and weights.
    public var segmenter: SegmenterDescriptor
    /// The confidence of the whole stack, for Segment Description.
    public var confidence: Confidence?
    /// One confidence per mask, in their order, for Frame Comments; or an empty list.
    public var frameConfidences: [Confidence]
    /// The confidence below which the object says that it needs review; `nil` for never.
    public var reviewBelow: Double?
    /// SEGs of earlier revisions that this one replaces: Predecessor Documents Sequence.
    public var predecessors: [InstanceReference]
    /// The version of Kontur.
    public var softwareVersion: String
    /// The index of the source received last: patient and study attributes are copied from it.
    public var newestSource: Int

    /// Makes a description; the parameters are the properties of the same names.
    public init(
        sopInstanceUID: String, seriesInstanceUID: String, seriesNumber: Int = 9000, created: Int64,
        localOffsetFromUTC: Int = 0, type: SegmentationType, viewerProfile: ViewerProfile.Name,
        segmenter: SegmenterDescriptor, confidence: Confidence? = nil, frameConfidences: [Confidence] = [],
        reviewBelow: Double? = nil, predecessors: [InstanceReference] = [], softwareVersion: String,
        newestSource: Int = 0
    ) {
        self.sopInstanceUID = sopInstanceUID
        self.seriesInstanceUID = seriesInstanceUID
        self.seriesNumber = seriesNumber
        self.created = created
        self.localOffsetFromUTC = localOffsetFromUTC
        self.type = type
        self.viewerProfile = viewerProfile
        self.segmenter = segmenter
        self.confidence = confidence
        self.frameConfidences = frameConfidences
        self.reviewBelow = reviewBelow
        self.predecessors = predecessors
        self.softwareVersion = softwareVersion
        self.newestSource = newestSource
    }

    /// The note that the object's descriptions add in parentheses.
    var standing: String {
        if let reviewBelow, let confidence, confidence.value < reviewBelow { return "AI, low confidence, review" }
        return "AI, not reviewed"
    }
}

/// The geometry attributes that a SEG of images without a frame of reference gets, because viewers need different ones.
///
/// The writer follows the choices in a profile and does not test the profile's name. Images with a frame of reference
/// get the same object in every profile.
public struct ViewerProfile: Sendable, Hashable {
    /// The profiles by name.
    public enum Name: String, Sendable, Hashable, Codable, CaseIterable {
        /// Follows PS3.3 A.51: without a frame of reference the SEG does not have plane groups.
        case strict
        /// Adds a shared Plane Orientation: OHIF does not show the SEG without it.
        case ohif
        /// Adds an invented frame of reference with plane groups: 3D Slicer does not load the SEG without them.
        case slicer
    }

    /// Image Orientation (Patient) for all frames: the direction of a row, then that of a column; `nil` for none.
    public var orientationWithoutGeometry: [Double]?
    /// Distance between frames and size of pixels, in mm, of an invented geometry; `nil` for none.
    public var madeUpSpacing: Double?

    /// The profile of a name.
    public static func named(_ name: Name) -> ViewerProfile {
        switch name {
        case .strict: ViewerProfile(orientationWithoutGeometry: nil, madeUpSpacing: nil)
        case .ohif: ViewerProfile(orientationWithoutGeometry: [1, 0, 0, 0, 1, 0], madeUpSpacing: nil)
        case .slicer: ViewerProfile(orientationWithoutGeometry: [1, 0, 0, 0, 1, 0], madeUpSpacing: 1)
        }
    }

    /// An invented geometry with one frame behind the other; `nil` if the profile does not ask for one.
    func madeUpGeometry(frameOfReferenceUID: String, frames: Int) -> SegmentationGeometry? {
        guard let spacing = madeUpSpacing, let orientation = orientationWithoutGeometry else { return nil }
        return SegmentationGeometry(
            frameOfReferenceUID: frameOfReferenceUID,
            pixelSpacing: [WrittenText.decimal(spacing), WrittenText.decimal(spacing)], sliceThickness: spacing,
            spacingBetweenSlices: spacing, orientation: orientation.map(WrittenText.decimal),
            positions: (0..<frames).map { ["0", "0", WrittenText.decimal(Double($0) * spacing)] })
    }
}
