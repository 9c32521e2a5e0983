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

    /// Size of the file of weights that it needs, 0 for none.
    var weightBytes: Int {
        guard case .segment(let request) = self else { return 0 }
        return max(0, request.weights?.bytes ?? 0)
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
    /// What the sources are.
    public enum Form: String, Sendable, Hashable, Codable {
        /// DICOM instances.
        case instances
        /// PNG and JPEG files: frames about which nothing more is known. They get masks as pictures, and no SEG.
        case pictures
    }

    /// One source instance, in stack order.
    public struct Source: Sendable, Hashable, Codable {
        /// Relative to `folder`.
        public var path: String
        /// Empty for a picture.
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
    public var form: Form
    public var sources: [Source]
    /// The recipe and weights to use: a worker that has others refuses.
    public var segmenter: SegmenterDescriptor
    /// The file of the weights, where they are not inside the executable; its hash is the segmenter's.
    public var weights: WeightFile?
    public var options: SegmenterOptions
    /// What a volume with gaps or doubled positions is: unfit, or taken as it is with a note.
    public var gaps: VolumeAssembly.Gaps
    public var outputs: [Output]
    /// Where to put one PNG for each frame in which something was found; `nil` for none.
    public var overlayFolder: String?
    /// Where to put one PNG mask (0 and 255) for each frame, also where nothing was found; `nil` for none.
    public var maskFolder: String?
    /// Where to put what the networks took in and gave out, one safetensors file for each frame; `nil` for none.
    public var dumpFolder: String?
    /// Where to put the masks that the segmenter chose from, one JSON file for each frame; `nil` for none.
    public var candidateFolder: String?

    public init(
        run: String, folder: String, form: Form = .instances, sources: [Source], segmenter: SegmenterDescriptor,
        weights: WeightFile? = nil, options: SegmenterOptions = .none, gaps: VolumeAssembly.Gaps = .refuse,
        outputs: [Output], overlayFolder: String? = nil, maskFolder: String? = nil, dumpFolder: String? = nil,
        candidateFolder: String? = nil
    ) {
        self.run = run
        self.folder = folder
        self.form = form
        self.sources = sources
        self.segmenter = segmenter
        self.weights = weights
        self.options = options
        self.gaps = gaps
        self.outputs = outputs
        self.overlayFolder = overlayFolder
        self.maskFolder = maskFolder
        self.dumpFolder = dumpFolder
        self.candidateFolder = candidateFolder
    }
}
