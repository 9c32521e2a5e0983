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

/// The source series of an object and the stack in it, by which a viewer's user tells the objects of a study apart.
public struct SeriesLabel: Sendable, Hashable, Codable {
    /// Series Number of the sources; `nil` if they have none.
    public var seriesNumber: Int?
    /// The number of the stack in its series, from 0.
    public var ordinal: Int
    /// The values of Image Type that tell the stack from the others of its series, such as `PSIR`.
    public var reconstruction: [String]

    /// Makes a label; values of Image Type that are not Code Strings are left out.
    public init(seriesNumber: Int?, ordinal: Int, reconstruction: [String]) {
        self.seriesNumber = seriesNumber
        self.ordinal = ordinal
        self.reconstruction = reconstruction.filter { !$0.isEmpty && WrittenText.codeString($0) != nil }
    }

    /// Series Number of an object: the kind's own, ten further for each stack, after the number of the source series.
    ///
    /// The SEG of the second stack of series 5 has number 59010.
    func seriesNumber(for kind: ObjectKind) -> Int {
        let own = kind.seriesNumber + 10 * min(max(ordinal, 0), 99)
        guard let seriesNumber, (0...200_000).contains(seriesNumber) else { return own }
        return seriesNumber * 10_000 + own
    }

    /// The words of Series Description, the longest first, such as `, series 5 PSIR`.
    var words: [String] {
        let stack = reconstruction.isEmpty && ordinal > 0 ? ["stack \(ordinal + 1)"] : reconstruction
        let numbers = seriesNumber.map { [["series", "\($0)"], ["\($0)"]] } ?? [[]]
        return (0...stack.count).reversed().flatMap { count in numbers.map { $0 + stack.prefix(count) } }
            .filter { !$0.isEmpty }.map { ", \($0.joined(separator: " "))" }
    }

    /// The label as it takes part in derived UIDs.
    public var identity: [String] {
        ["series label", seriesNumber.map(String.init) ?? "", "\(ordinal)"] + reconstruction
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
    /// Series Number: one for each kind of object and each label.
    public var seriesNumber: Int
    /// The source series and the stack in it, which the descriptions name; `nil` for none.
    public var seriesLabel: SeriesLabel?
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
    /// The options of a segmentation that a person prompted; `nil` if nobody did.
    public var prompts: SegmenterOptions?

    // The row of an object, the payload of a job and the messages of workers have had one key for the kind since the
    // time when every object was a SEG.
    private enum CodingKeys: String, CodingKey {
        case sopInstanceUID, seriesInstanceUID, seriesNumber, seriesLabel, created, localOffsetFromUTC
        case kind = "viewerProfile"
        case type, segmentation, segmenter, confidence, frameConfidences, reviewBelow, predecessors, softwareVersion
        case newestSource, prompts
    }

    /// Makes a description; the parameters are the properties of the same names.
    public init(
        sopInstanceUID: String, seriesInstanceUID: String, created: Int64, localOffsetFromUTC: Int = 0,
        kind: ObjectKind, type: SegmentationType, segmentation: InstanceReference? = nil,
        segmenter: SegmenterDescriptor, confidence: Confidence? = nil, frameConfidences: [Confidence] = [],
        reviewBelow: Double? = nil, predecessors: [InstanceReference] = [], softwareVersion: String,
        newestSource: Int = 0, seriesLabel: SeriesLabel? = nil, prompts: SegmenterOptions? = nil
    ) {
        self.sopInstanceUID = sopInstanceUID
        self.seriesInstanceUID = seriesInstanceUID
        seriesNumber = seriesLabel?.seriesNumber(for: kind) ?? kind.seriesNumber
        self.seriesLabel = seriesLabel
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
        self.prompts = prompts
    }

    /// Segment Algorithm Type (PS3.3 C.8.20.2): semiautomatic if a person prompted.
    var algorithmType: String { prompts == nil ? "AUTOMATIC" : "SEMIAUTOMATIC" }

    /// Algorithm Parameters (PS3.3 10.16): the hash of the weights, and the prompts of a person with all other options.
    var algorithmParameters: String {
        (["weights SHA-256 \(segmenter.weightsHash)"] + (prompts?.words ?? [])).joined(separator: "; ")
    }

    /// Series Description: at most 64 characters.
    package var seriesDescription: String {
        let what = "KONTUR \(segmenter.segmentLabel)\(kind.seriesWords)"
        let end = " (\(standing))"
        let room = 64 - what.utf8.count - end.utf8.count
        let words = seriesLabel?.words.first { $0.utf8.count <= room } ?? ""
        return what + words + end
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
        if let reviewBelow, let confidence, !(confidence.value >= reviewBelow) { return "AI, low confidence, review" }
        return "AI, not reviewed"
    }
}
