// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Imaging

/// How far a worker is with its request. Each one is a sign of life: the watchdog starts anew.
public struct WorkProgress: Sendable, Hashable, Codable {
    public enum Phase: String, Sendable, Hashable, Codable {
        /// Weights are read, verified and packed.
        case loading
        case reading
        case segmenting
        case writing
    }

    public var phase: Phase
    public var done: Int
    public var total: Int

    public init(phase: Phase, done: Int, total: Int) {
        self.phase = phase
        self.done = done
        self.total = total
    }
}

/// A worker's answer. Reasons hold no patient data.
public enum WorkResponse: Sendable, Hashable, Codable {
    /// The header of an instance, and the digest of its image (`InstanceFile.imageDigest()`).
    case indexed(header: InstanceHeader, imageDigest: String)
    /// The file cannot be read, or is not what its command said.
    case quarantine(reason: String)
    case segmented(outcome: SegmentOutcome)
    /// The stack is none that the segmenter accepts; trying again gives the same.
    case unfit(reason: String)
    /// The work failed for a reason of its own, a pixel decoding error, say; trying again gives the same.
    case failed(reason: String)
    /// The work could not be done now: a file could not be read or written. Trying again may help.
    case hindered(reason: String)
}

/// What was found in a stack and what was written.
public struct SegmentOutcome: Sendable, Hashable, Codable {
    /// A SEG that was written, read back and found to be the one that was meant.
    public struct Output: Sendable, Hashable, Codable {
        public var path: String
        /// Of the whole file, 64 lower-case hexadecimal digits.
        public var sha256: String
        public var bytes: Int
        public var sopInstanceUID: String
        public var seriesInstanceUID: String
        /// Frames in the object: those in which something was found.
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

    /// Frames or slices that were segmented.
    public var frames: Int
    /// Those in which something was found, as indices into them; ascending.
    public var foundFrames: [Int]
    public var confidence: Confidence
    /// 0...1, one a frame.
    public var frameConfidence: [Double]
    /// The measures that confidences were made of, by name, one value a frame; NaN for a frame without it. Left out for
    /// more than `framesMeasured` frames.
    public var frameMeasures: [String: [Double]]
    /// Empty when nothing was found.
    public var outputs: [Output]
    /// Absolute paths of the overlays.
    public var overlays: [String]
    /// Absolute paths of the masks written as pictures, one a frame.
    public var masks: [String]
    public var notes: [String]

    /// So that an outcome fits its line.
    public static let framesMeasured = 10_000

    public init(
        frames: Int, foundFrames: [Int], confidence: Confidence, frameConfidence: [Double],
        frameMeasures: [String: [Double]] = [:], outputs: [Output], overlays: [String], masks: [String] = [],
        notes: [String]
    ) {
        self.frames = frames
        self.foundFrames = foundFrames
        self.confidence = confidence
        self.frameConfidence = frameConfidence
        self.frameMeasures = frameMeasures
        self.outputs = outputs
        self.overlays = overlays
        self.masks = masks
        self.notes = notes
    }
}
