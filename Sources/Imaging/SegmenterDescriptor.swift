// SPDX-License-Identifier: Apache-2.0

/// What a segmenter is and what its answers mean: everything that routing, SEG writing and audit need to know about it
/// without running it.
public struct SegmenterDescriptor: Sendable, Hashable, Codable {
    /// What one job of a segmenter is made of.
    public enum Accepts: String, Sendable, Hashable, Codable {
        /// Single frames, each answered alone, with or without geometry.
        case frames
        /// One volume: slices of one stack, evenly spaced, none missing.
        case volume
    }

    /// The name used in configurations, such as `polyp-compact`.
    public var name: String
    /// Version of the recipe (pre-processing, network, post-processing): changes whenever an answer may.
    public var version: String
    public var accepts: Accepts
    /// SHA-256 of the weight file, 64 lower-case hexadecimal digits.
    public var weightsHash: String
    /// Short name of what is segmented, such as `polyp`: Segment Label (PS3.3 C.8.20.4).
    public var segmentLabel: String
    /// Segmented Property Category, PS3.16 CID 7150.
    public var category: CodedConcept
    /// Segmented Property Type, PS3.16 CID 7151 and its children.
    public var type: CodedConcept
    /// Where in the body, when the type does not say it already.
    public var anatomicRegion: CodedConcept?
    /// Colour of overlays, and of Recommended Display CIELab Value.
    public var recommendedDisplayColor: DisplayColor
    /// One line for people: what it segments, in which images.
    public var title: String
    /// The publication that the method follows.
    public var paper: String
    /// Terms of the weights.
    public var licence: String

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

/// A colour in sRGB, 0...255 each.
public struct DisplayColor: Sendable, Hashable, Codable {
    public var red: UInt8
    public var green: UInt8
    public var blue: UInt8

    public init(red: UInt8, green: UInt8, blue: UInt8) {
        self.red = red
        self.green = green
        self.blue = blue
    }
}
