// SPDX-License-Identifier: Apache-2.0

/// The identity of a segmenter and the meaning of its answers.
///
/// Routing, the writing of SEGs and the audit trail use these values without running the segmenter.
public struct SegmenterDescriptor: Sendable, Hashable, Codable {
    /// The input of one job.
    public enum Accepts: String, Sendable, Hashable, Codable {
        /// Single frames with or without geometry, each segmented alone.
        case frames
        /// One volume: the evenly spaced slices of one stack, without gaps.
        case volume
    }

    /// The name used in configurations, such as `polyp-compact`.
    public var name: String
    /// The version of the recipe (pre-processing, network, post-processing).
    ///
    /// It changes whenever an answer may change.
    public var version: String
    /// Frames or volumes.
    public var accepts: Accepts
    /// The SHA-256 of the weight file, 64 lower-case hexadecimal digits.
    public var weightsHash: String
    /// The short name of the structure, such as `polyp`, with which Segment Label begins (PS3.3 C.8.20.4).
    public var segmentLabel: String
    /// Segmented Property Category, PS3.16 CID 7150.
    public var category: CodedConcept
    /// Segmented Property Type, PS3.16 CID 7151 and its children.
    public var type: CodedConcept
    /// The region of the body; `nil` if the type implies it.
    public var anatomicRegion: CodedConcept?
    /// The colour of overlays, and of Recommended Display CIELab Value.
    public var recommendedDisplayColor: DisplayColor
    /// One line for people: the structure and the kind of images.
    public var title: String
    /// The publication that the method follows.
    public var paper: String
    /// The terms of the weights.
    public var licence: String

    /// Makes a descriptor; the parameters are the properties of the same names.
    public init(
        name: String, version: String, accepts: Accepts, weightsHash: String, segmentLabel: String,
        category: CodedConcept, type: CodedConcept, anatomicRegion: CodedConcept?,
        recommendedDisplayColor: DisplayColor, title: String, paper: String, licence: String
    ) {
        self.name = name
        self.version = version
        self.accepts = accepts
        self.weightsHash = weightsHash
        self.segmentLabel = segmentLabel
        self.category = category
        self.type = type
        self.anatomicRegion = anatomicRegion
        self.recommendedDisplayColor = recommendedDisplayColor
        self.title = title
        self.paper = paper
        self.licence = licence
    }
}

/// A colour in sRGB.
public struct DisplayColor: Sendable, Hashable, Codable {
    /// 0...255.
    public var red: UInt8
    /// 0...255.
    public var green: UInt8
    /// 0...255.
    public var blue: UInt8

    /// Makes a colour from its channels, 0...255 each.
    public init(red: UInt8, green: UInt8, blue: UInt8) {
        self.red = red
        self.green = green
        self.blue = blue
    }
}

/// A code triplet: PS3.3 8.8 (Code Sequence Macro).
public struct CodedConcept: Sendable, Hashable, Codable {
    /// Code Value.
    public var value: String
    /// Coding Scheme Designator, such as `SCT` or `DCM`.
    public var scheme: String
    /// Code Meaning.
    public var meaning: String

    /// Makes a triplet from Code Value, Coding Scheme Designator and Code Meaning.
    public init(_ value: String, _ scheme: String, _ meaning: String) {
        self.value = value
        self.scheme = scheme
        self.meaning = meaning
    }
}

/// The confidence of a segmenter in one answer, with the measures it was computed from.
public struct Confidence: Sendable, Hashable, Codable {
    /// The number that routes and people compare, 0...1.
    ///
    /// For a compact network it is the Dice that the answer is expected to reach; for an empty answer, the probability
    /// that the structure is absent. A segmenter that was not fitted on unseen cases gives another number, for which
    /// higher is better too.
    public var value: Double
    /// The measures by name, each 0...1, such as `expectedDice` and `viewAgreement`.
    public var measures: [String: Double]

    /// Makes a confidence of 0...1 with its measures.
    public init(value: Double, measures: [String: Double]) {
        self.value = value
        self.measures = measures
    }
}

/// A file of installed weights, with the values that a worker needs to load and verify it.
public struct WeightFile: Sendable, Hashable, Codable {
    /// The name under which the weights are installed, such as `medsam_vit_b`.
    public var name: String
    /// The absolute path.
    public var path: String
    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    public var sha256: String
    /// The size of the file.
    public var bytes: Int

    /// Makes a description of a file; the file is not read.
    public init(name: String, path: String, sha256: String, bytes: Int) {
        self.name = name
        self.path = path
        self.sha256 = sha256
        self.bytes = bytes
    }
}

/// A segmenter that can run on this machine, with its weights.
public struct InstalledSegmenter: Sendable, Hashable {
    /// The segmenter with the hash of these weights.
    public var descriptor: SegmenterDescriptor
    /// The file of the weights; `nil` if they are inside the executable.
    public var weights: WeightFile?

    /// Joins a segmenter and its weights.
    public init(_ descriptor: SegmenterDescriptor, weights: WeightFile? = nil) {
        self.descriptor = descriptor
        self.weights = weights
    }
}
