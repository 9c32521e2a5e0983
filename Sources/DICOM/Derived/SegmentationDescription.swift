// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// Segmentation Type (0062,0001): PS3.3 C.8.20.2.3.
public enum SegmentationType: String, Sendable, Hashable, Codable, CaseIterable {
    /// One bit a pixel.
    case binary
    /// One byte a pixel, 0...255 of probability (Segmentation Fractional Type PROBABILITY).
    case fractional
}

/// One instance that another names: Study and Series Instance Reference Macro, PS3.3 C.17.2.1.
public struct InstanceReference: Sendable, Hashable, Codable {
    public var studyInstanceUID: String
    public var seriesInstanceUID: String
    public var sopClassUID: String
    public var sopInstanceUID: String

    public init(studyInstanceUID: String, seriesInstanceUID: String, sopClassUID: String, sopInstanceUID: String) {
        self.studyInstanceUID = studyInstanceUID
        self.seriesInstanceUID = seriesInstanceUID
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
    }
}

/// Everything about a SEG that does not come from its source images or its masks. The writer reads no clock and makes up
/// no UID: the same description and sources give the same bytes.
public struct SegmentationDescription: Sendable, Hashable, Codable {
    public var sopInstanceUID: String
    /// A series of its own.
    public var seriesInstanceUID: String
    public var seriesNumber: Int
    /// When the job was made, seconds since 1970 UTC: Content, Series and Instance Creation Date and Time. Written in the
    /// sources' Timezone Offset From UTC, or in `localOffsetFromUTC` where they have none.
    public var created: Int64
    /// Seconds east of UTC where the node runs, at `created`.
    public var localOffsetFromUTC: Int
    public var type: SegmentationType
    public var viewerProfile: ViewerProfile.Name
    public var segmenter: SegmenterDescriptor
    /// Of the whole stack: goes into Segment Description.
    public var confidence: Confidence?
    /// One a mask, in their order, or empty: goes into Frame Comments.
    public var frameConfidences: [Confidence]
    /// A confidence below this one makes the object say that it needs review; `nil` for never.
    public var reviewBelow: Double?
    /// SEGs of earlier revisions that this one replaces: Predecessor Documents Sequence.
    public var predecessors: [InstanceReference]
    /// Version of Kontur.
    public var softwareVersion: String
    /// Index of the source received last: patient and study attributes are copied from it.
    public var newestSource: Int

    public init(
        sopInstanceUID: String, seriesInstanceUID: String, seriesNumber: Int = 9000, created: Int64,
        localOffsetFromUTC: Int = 0, type: SegmentationType, viewerProfile: ViewerProfile.Name,
        segmenter: SegmenterDescriptor, confidence: Confidence? = nil, frameConfidences: [Confidence] = [],
        reviewBelow: Double? = nil,
        predecessors: [InstanceReference] = [], softwareVersion: String, newestSource: Int = 0
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

    /// How the object's descriptions qualify it.
    var standing: String {
        if let reviewBelow, let confidence, confidence.value < reviewBelow { return "AI, low confidence, review" }
        return "AI, not reviewed"
    }
}

/// One source instance of a stack and which of its frames were segmented.
public struct SegmentationSource: Sendable, Hashable, Codable {
    public var path: String
    /// Counted from 1; `nil` for all frames.
    public var frameNumbers: [Int]?

    public init(path: String, frameNumbers: [Int]? = nil) {
        self.path = path
        self.frameNumbers = frameNumbers
    }
}
