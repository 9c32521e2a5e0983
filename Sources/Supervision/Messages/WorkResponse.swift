// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Imaging

/// The progress of a request.
///
/// Each progress line is a sign of life, after which the allowed silence starts anew.
public struct WorkProgress: Sendable, Hashable, Codable {
    /// The step of the work that `done` and `total` count.
    public enum Phase: String, Sendable, Hashable, Codable {
        /// The worker reads, verifies and packs weights.
        case loading
        /// The worker decodes source frames.
        case reading
        /// The worker segments frames or slices.
        case segmenting
        /// The worker writes objects and reads them back.
        case writing
    }

    /// The step of the work.
    public var phase: Phase
    /// Finished steps of the phase.
    public var done: Int
    /// All steps of the phase.
    public var total: Int

    public init(phase: Phase, done: Int, total: Int) {
        self.phase = phase
        self.done = done
        self.total = total
    }
}

/// A worker's answer.
///
/// The reasons in an answer do not contain patient data.
public enum WorkResponse: Sendable, Hashable, Codable {
    /// The header of an instance, its Patient ID, and the digests of its image and of its attributes
    /// (`InstanceFile.digests()`).
    ///
    /// The Patient ID is never logged and never stored. The digests of attributes do not have a key: someone could find a short value by trying. They are never stored.
    case indexed(header: StoredHeader, patientID: String?, imageDigest: String, attributes: AttributeDigests)
    /// Whether two files show the same image (`InstanceFile.showsSameImage(as:progress:)`).
    case compared(isSameImage: Bool)
    /// The file cannot be read, or its UIDs differ from those of its command.
    case quarantine(reason: String)
    case segmented(outcome: SegmentOutcome)
    /// The segmenter does not accept the stack. A second attempt would give the same answer.
    case unfit(reason: String)
    /// The work itself failed, for instance because pixels cannot be decoded. A second attempt would fail too.
    case failed(reason: String)
    /// A file could not be read or written now. A second attempt may succeed.
    case hindered(reason: String)
}

/// The result of segmenting a stack: the findings and the written objects.
public struct SegmentOutcome: Sendable, Hashable, Codable {
    /// An object that was written, read back and compared with the answer.
    public struct Output: Sendable, Hashable, Codable {
        /// The path of the request.
        public var path: String
        /// SHA-256 of the whole file, 64 lower-case hexadecimal digits.
        public var sha256: String
        /// Size of the file.
        public var bytes: Int
        /// SOP Instance UID of the object.
        public var sopInstanceUID: String
        /// Series Instance UID of the object.
        public var seriesInstanceUID: String
        /// Number of frames of the stack that the object shows or measures: the frames with a finding.
        public var frames: Int

        public init(
            path: String, sha256: String, bytes: Int, sopInstanceUID: String, seriesInstanceUID: String, frames: Int
        ) {
            self.path = path
            self.sha256 = sha256
            self.bytes = bytes
            self.sopInstanceUID = sopInstanceUID
            self.seriesInstanceUID = seriesInstanceUID
            self.frames = frames
        }
    }

    /// Number of frames or slices that were segmented.
    public var frames: Int
    /// Number of frames of the stack that were left out because they cannot be decoded or segmented.
    ///
    /// The other numbers and lists do not count these frames. The notes name their instances and the reasons.
    public var leftOut: Int
    /// The frames with a finding: ascending indices, `0..<frames`.
    public var foundFrames: [Int]
    /// The confidence of the whole answer.
    public var confidence: Confidence
    /// The confidence per frame, 0...1.
    public var frameConfidence: [Double]
    /// The measures that the confidences were computed from: by name, one value per frame, NaN for a frame without the
    /// measure.
    ///
    /// Empty for more than ``framesMeasured`` frames.
    public var frameMeasures: [String: [Double]]
    /// The written objects.
    ///
    /// If no frame has a finding, only objects that say so: `ObjectKind.saysNothingFound`.
    public var outputs: [Output]
    /// Names of the overlays in the request's ``SegmentRequest/overlayFolder``.
    public var overlays: [String]
    /// Names of the masks that were written as pictures, one per frame, in the request's ``SegmentRequest/maskFolder``.
    public var masks: [String]
    /// Remarks about the stack and the work, for a person to read.
    public var notes: [String]
    /// Whether the answer was read back from a stored object, and the segmenter did not run.
    public var isReused: Bool

    /// Most frames with measures.
    ///
    /// With more measures, an outcome could exceed ``WorkMessage/answerLimit``.
    public static let framesMeasured = 100_000

    public init(
        frames: Int, leftOut: Int = 0, foundFrames: [Int], confidence: Confidence, frameConfidence: [Double],
        frameMeasures: [String: [Double]] = [:], outputs: [Output], overlays: [String], masks: [String] = [],
        notes: [String], isReused: Bool = false
    ) {
        self.frames = frames
        self.leftOut = leftOut
        self.foundFrames = foundFrames
        self.confidence = confidence
        self.frameConfidence = frameConfidence
        self.frameMeasures = frameMeasures
        self.outputs = outputs
        self.overlays = overlays
        self.masks = masks
        self.notes = notes
        self.isReused = isReused
    }
}
