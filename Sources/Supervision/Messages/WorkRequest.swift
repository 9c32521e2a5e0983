// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Imaging

/// What a worker is asked: one JSON line.
public enum WorkRequest: Sendable, Hashable, Codable {
    case index(request: IndexRequest)
    case segment(request: SegmentRequest)

    /// Which worker answers it.
    public var role: WorkerRole {
        switch self {
        case .index: .index
        case .segment: .segment
        }
    }
}

/// Read the header of one received file.
public struct IndexRequest: Sendable, Hashable, Codable {
    /// Absolute path of the file.
    public var path: String
    /// Affected SOP Class and Instance UID of the C-STORE command: the data set must say the same. `nil` for a file that
    /// came with no command.
    public var sopClassUID: String?
    public var sopInstanceUID: String?

    public init(path: String, sopClassUID: String? = nil, sopInstanceUID: String? = nil) {
        self.path = path
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
    }
}

/// Segment one stack, and write the objects asked for.
///
/// The answer is a function of this request and the files it names: dates and UIDs are given, not made.
public struct SegmentRequest: Sendable, Hashable, Codable {
    /// One source instance, in stack order.
    public struct Source: Sendable, Hashable, Codable {
        /// Relative to `folder`.
        public var path: String
        public var sopInstanceUID: String
        /// Counted from 1; `nil` for all of them.
        public var frameNumbers: [Int]?

        public init(path: String, sopInstanceUID: String, frameNumbers: [Int]? = nil) {
            self.path = path
            self.sopInstanceUID = sopInstanceUID
            self.frameNumbers = frameNumbers
        }
    }

    /// One object to write.
    public struct Output: Sendable, Hashable, Codable {
        /// Absolute; a name with the run in it, so that an orphan of an earlier run cannot race this one.
        public var path: String
        /// The worker adds the confidences.
        public var description: SegmentationDescription

        public init(path: String, description: SegmentationDescription) {
            self.path = path
            self.description = description
        }
    }

    /// Names this attempt among all others.
    public var run: String
    /// Absolute path of the folder below which the sources lie.
    public var folder: String
    public var sources: [Source]
    /// The recipe and weights to use: a worker that has others refuses.
    public var segmenter: SegmenterDescriptor
    /// What a volume with gaps or doubled positions is: unfit, or taken as it is with a note.
    public var gaps: VolumeAssembly.Gaps
    public var outputs: [Output]
    /// Where to put one PNG for each frame in which something was found; `nil` for none.
    public var overlayFolder: String?

    public init(
        run: String, folder: String, sources: [Source], segmenter: SegmenterDescriptor,
        gaps: VolumeAssembly.Gaps = .refuse, outputs: [Output], overlayFolder: String? = nil
    ) {
        self.run = run
        self.folder = folder
        self.sources = sources
        self.segmenter = segmenter
        self.gaps = gaps
        self.outputs = outputs
        self.overlayFolder = overlayFolder
    }
}
