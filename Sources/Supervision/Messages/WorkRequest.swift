// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Imaging

/// The kind of work of a worker process.
///
/// A worker does not answer requests of another role.
///
/// Closing a series waits for indexing. The roles are separate so that indexing never queues behind a segmentation.
public enum WorkerRole: String, Sendable, Hashable, Codable, CaseIterable {
    /// Reading the headers of instances, and comparing the images of two variants of one instance.
    case index
    /// Segmenting stacks.
    case segment
}

/// The request that a worker reads: one JSON line.
public enum WorkRequest: Sendable, Hashable, Codable {
    case index(request: IndexRequest)
    case compare(request: CompareRequest)
    case segment(request: SegmentRequest)

    /// The role of the worker that answers the request.
    public var role: WorkerRole {
        switch self {
        case .index, .compare: .index
        case .segment: .segment
        }
    }

    /// Size of the weight file that the request needs, in bytes; 0 if it does not need one.
    var weightBytes: Int {
        guard case .segment(let request) = self else { return 0 }
        return max(0, request.weights?.bytes ?? 0)
    }
}

/// A request to read the header of one received file.
public struct IndexRequest: Sendable, Hashable, Codable {
    /// Absolute path of the file.
    public var path: String
    /// Affected SOP Class UID of the C-STORE command, which the data set must repeat.
    ///
    /// `nil` for a file from a folder.
    public var sopClassUID: String?
    /// Affected SOP Instance UID of the C-STORE command, which the data set must repeat.
    ///
    /// `nil` for a file from a folder.
    public var sopInstanceUID: String?
    /// The largest accepted size of a deflated data set after it is inflated, in bytes; `nil` for Kontur's own limit.
    public var largestDataSet: Int?

    public init(
        path: String, sopClassUID: String? = nil, sopInstanceUID: String? = nil, largestDataSet: Int? = nil
    ) {
        self.path = path
        self.largestDataSet = largestDataSet
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
    }
}

/// A request to compare the images of two received files frame by frame.
public struct CompareRequest: Sendable, Hashable, Codable {
    /// Absolute path of one file.
    public var path: String
    /// Absolute path of the other file.
    public var otherPath: String

    public init(path: String, otherPath: String) {
        self.path = path
        self.otherPath = otherPath
    }
}

/// A request to segment one stack, and to write its objects.
///
/// The answer is a function of this request and of the files that it names. The request therefore holds dates and UIDs.
public struct SegmentRequest: Sendable, Hashable, Codable {
    /// A kind of sources.
    public enum Form: String, Sendable, Hashable, Codable {
        /// DICOM instances.
        case instances
        /// PNG and JPEG files: frames without geometry or other attributes. Their masks become pictures, not a SEG.
        case pictures
    }

    /// One source instance, in stack order.
    public struct Source: Sendable, Hashable, Codable {
        /// Path relative to `folder`.
        public var path: String
        /// SOP Instance UID; empty for a picture.
        public var sopInstanceUID: String
        /// The frames to use, counted from 1; `nil` for all frames.
        public var frameNumbers: [Int]?

        public init(path: String, sopInstanceUID: String, frameNumbers: [Int]? = nil) {
            self.path = path
            self.sopInstanceUID = sopInstanceUID
            self.frameNumbers = frameNumbers
        }
    }

    /// One object to write.
    public struct Output: Sendable, Hashable, Codable {
        /// Absolute path.
        ///
        /// The name contains the run, so that the file of an earlier run cannot take its place.
        public var path: String
        /// Everything about the object except the confidences, which the worker adds.
        public var description: ObjectDescription
        /// The object that is made again; `nil` for a new object.
        public var repetition: Repetition?

        public init(path: String, description: ObjectDescription, repetition: Repetition? = nil) {
            self.path = path
            self.description = description
            self.repetition = repetition
        }
    }

    /// An object that was written before and whose file is gone.
    ///
    /// Two objects of different bytes never share a UID. If the bytes differ this time, for instance on another
    /// machine, the worker writes an object of its own.
    public struct Repetition: Sendable, Hashable, Codable {
        /// SHA-256 of the file as it was, in hexadecimal digits.
        public var sha256: String
        /// The description to use instead if the bytes differ.
        public var otherwise: ObjectDescription

        public init(sha256: String, otherwise: ObjectDescription) {
            self.sha256 = sha256
            self.otherwise = otherwise
        }
    }

    /// An object that holds the answer to the request: same images, recipe, weights and options.
    ///
    /// The worker reads the masks back instead of running the segmenter. If it cannot, it runs the segmenter.
    public struct StoredAnswer: Sendable, Hashable, Codable {
        /// Absolute path of the SEG.
        public var path: String
        /// SHA-256 of the file, in hexadecimal digits.
        public var sha256: String
        /// The confidence of the whole answer, 0...1, which the SEG states only in rounded form.
        public var confidence: Double

        public init(path: String, sha256: String, confidence: Double) {
            self.path = path
            self.sha256 = sha256
            self.confidence = confidence
        }
    }

    /// The name of the attempt, which differs from the name of every other attempt.
    public var run: String
    /// Absolute path of the folder below which the sources lie.
    public var folder: String
    /// The kind of the sources.
    public var form: Form
    /// The sources, in stack order.
    public var sources: [Source]
    /// The recipe and the weights to use.
    ///
    /// A worker with another recipe or other weights refuses the request.
    public var segmenter: SegmenterDescriptor
    /// The weight file, if the weights are not inside the executable.
    ///
    /// Its hash is that of the segmenter.
    public var weights: WeightFile?
    /// The options of the segmenter, such as a box.
    public var options: SegmenterOptions
    /// Whether a volume with gaps or doubled positions is unfit, or is segmented with a note.
    public var gaps: VolumeAssembly.Gaps
    /// The frames per second that are segmented of a cine or video instance; `nil` for all frames.
    public var framesPerSecond: Double?
    /// The objects to write; an object comes after the SEG that it refers to.
    public var outputs: [Output]
    /// An object that holds the answer; `nil` if the segmenter must run.
    public var answer: StoredAnswer?
    /// Folder for one PNG overlay per frame with a finding; `nil` to write none.
    public var overlayFolder: String?
    /// Folder for one PNG mask (0 and 255) per frame, with or without a finding; `nil` to write none.
    public var maskFolder: String?
    /// Folder for the inputs and outputs of the networks, one safetensors file per frame; `nil` to write none.
    public var dumpFolder: String?
    /// Folder for the candidate masks that the segmenter chose from, one JSON file per frame; `nil` to write none.
    public var candidateFolder: String?

    public init(
        run: String, folder: String, form: Form = .instances, sources: [Source], segmenter: SegmenterDescriptor,
        weights: WeightFile? = nil, options: SegmenterOptions = .none, gaps: VolumeAssembly.Gaps = .refuse,
        framesPerSecond: Double? = nil, outputs: [Output], answer: StoredAnswer? = nil, overlayFolder: String? = nil,
        maskFolder: String? = nil,
        dumpFolder: String? = nil,
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
        self.framesPerSecond = framesPerSecond
        self.outputs = outputs
        self.answer = answer
        self.overlayFolder = overlayFolder
        self.maskFolder = maskFolder
        self.dumpFolder = dumpFolder
        self.candidateFolder = candidateFolder
    }
}
