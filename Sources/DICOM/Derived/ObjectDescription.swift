// SPDX-License-Identifier: Apache-2.0

public import Imaging

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

/// Everything about an object that comes neither from its source images nor from the answer of the segmenter.
///
/// The writers do not read a clock or make random UIDs. The same description, sources and answer therefore give the
/// same bytes.
public struct ObjectDescription: Sendable, Hashable, Codable {
    /// SOP Instance UID of the object.
    public var sopInstanceUID: String
    /// Series Instance UID: each object is in a series of its own.
    public var seriesInstanceUID: String
    /// Series Number: one for each kind of object.
    public var seriesNumber: Int
    /// The moment the job was made, in seconds since 1970 UTC: Content, Series and Instance Creation Date and Time.
    ///
    /// The dates and times are written in the Timezone Offset From UTC of the sources, or in `localOffsetFromUTC` if
    /// the sources have none.
    public var created: Int64
    /// The offset of the node's time zone from UTC at `created`, in seconds.
    public var localOffsetFromUTC: Int
    /// The kind of the object.
    public var kind: ObjectKind
    /// Whether the masks of the answer are binary, or fractional with probabilities.
    public var type: SegmentationType
    /// The SEG of the same answer that the object refers to; `nil` for a kind that does not refer to a SEG.
    public var segmentation: InstanceReference?
    /// The segmenter that made the masks: names, codes, colour and weights.
    public var segmenter: SegmenterDescriptor
    /// The confidence of the whole stack.
    public var confidence: Confidence?
    /// One confidence per mask, in their order; or an empty list.
    public var frameConfidences: [Confidence]
    /// The confidence below which the object says that it needs review; `nil` for never.
    public var reviewBelow: Double?
    /// Objects of the same kind and of earlier revisions that this one replaces: Predecessor Documents Sequence.
    public var predecessors: [InstanceReference]
    /// The version of Kontur.
    public var softwareVersion: String
    /// The index of the source received last: patient and study attributes are copied from it.
    public var newestSource: Int

    // The row of an object, the payload of a job and the messages of workers have had one key for the kind since the
    // time when every object was a SEG.
    private enum CodingKeys: String, CodingKey {
        case sopInstanceUID, seriesInstanceUID, seriesNumber, created, localOffsetFromUTC
        case kind = "viewerProfile"
        case type, segmentation, segmenter, confidence, frameConfidences, reviewBelow, predecessors, softwareVersion
        case newestSource
    }

    /// Makes a description; the parameters are the properties of the same names.
    public init(
        sopInstanceUID: String, seriesInstanceUID: String, created: Int64, localOffsetFromUTC: Int = 0,
        kind: ObjectKind, type: SegmentationType, segmentation: InstanceReference? = nil,
        segmenter: SegmenterDescriptor, confidence: Confidence? = nil, frameConfidences: [Confidence] = [],
        reviewBelow: Double? = nil, predecessors: [InstanceReference] = [], softwareVersion: String,
        newestSource: Int = 0
    ) {
        self.sopInstanceUID = sopInstanceUID
        self.seriesInstanceUID = seriesInstanceUID
        seriesNumber = kind.seriesNumber
        self.created = created
        self.localOffsetFromUTC = localOffsetFromUTC
        self.kind = kind
        self.type = type
        self.segmentation = segmentation
        self.segmenter = segmenter
        self.confidence = confidence
        self.frameConfidences = frameConfidences
        self.reviewBelow = reviewBelow
        self.predecessors = predecessors
        self.softwareVersion = softwareVersion
        self.newestSource = newestSource
    }

    /// The object as another object refers to it.
    ///
    /// - Parameter studyInstanceUID: the study of its sources.
    /// - Returns: a reference with the object's class, series and UID.
    public func reference(inStudy studyInstanceUID: String) -> InstanceReference {
        InstanceReference(
            studyInstanceUID: studyInstanceUID, seriesInstanceUID: seriesInstanceUID, sopClassUID: kind.sopClassUID,
            sopInstanceUID: sopInstanceUID)
    }

    /// The note that the object's descriptions add in parentheses.
    var standing: String {
        if let reviewBelow, let confidence, confidence.value < reviewBelow { return "AI, low confidence, review" }
        return "AI, not reviewed"
    }
}
