// SPDX-License-Identifier: Apache-2.0

/// A rectangle in an image, XYXY: pixels, x along a row (column index), y down a column (row index).
public struct Box: Sendable, Hashable, Codable {
    public var x0: Double
    public var y0: Double
    public var x1: Double
    public var y1: Double

    public init(x0: Double, y0: Double, x1: Double, y1: Double) {
        self.x0 = x0
        self.y0 = y0
        self.x1 = x1
        self.y1 = y1
    }

    public var width: Double { x1 - x0 }
    public var height: Double { y1 - y0 }
}

/// A point in an image that lies on the structure sought, or beside it: pixels, x along a row, y down a column.
public struct LabeledPoint: Sendable, Hashable, Codable {
    public var x: Double
    public var y: Double
    /// Whether it lies on the structure.
    public var isForeground: Bool

    public init(x: Double, y: Double, isForeground: Bool) {
        self.x = x
        self.y = y
        self.isForeground = isForeground
    }
}

/// What is asked of a segmenter beyond its name: a prompt given by a person, and parameters of its recipe. What is `nil`
/// is the recipe's own choice.
public struct SegmenterOptions: Sendable, Hashable, Codable {
    /// In pixels of the image; of the key slice where a volume is segmented.
    public var box: Box?
    /// In pixels of the image.
    public var points: [LabeledPoint]
    /// Which slice of a volume the box belongs to, counted from 1 in the order of the volume's slices.
    public var keySlice: Int?
    /// By how much boxes made from masks are widened on each side, pixels of the network's input.
    public var margin: Double?
    /// By how much boxes are shifted, at most, to measure how firm an answer is, pixels of the network's input.
    public var shift: Double?

    public init(
        box: Box? = nil, points: [LabeledPoint] = [], keySlice: Int? = nil, margin: Double? = nil, shift: Double? = nil
    ) {
        self.box = box
        self.points = points
        self.keySlice = keySlice
        self.margin = margin
        self.shift = shift
    }

    /// Nothing asked beyond the name.
    public static let none = SegmenterOptions()

    /// Whether a person has given a prompt.
    public var hasPrompt: Bool { box != nil || !points.isEmpty }

    /// One word for each option that is set, for derived UIDs and records; empty when none is.
    public var words: [String] {
        var words: [String] = []
        if let box { words.append("box=\(box.x0),\(box.y0),\(box.x1),\(box.y1)") }
        words += points.map { "point=\($0.x),\($0.y),\($0.isForeground ? "+" : "-")" }
        if let keySlice { words.append("keySlice=\(keySlice)") }
        if let margin { words.append("margin=\(margin)") }
        if let shift { words.append("shift=\(shift)") }
        return words
    }
}

/// A file of weights on this machine: what a worker needs to load and verify it.
public struct WeightFile: Sendable, Hashable, Codable {
    /// The name it is installed under, such as `medsam_vit_b`.
    public var name: String
    /// Absolute.
    public var path: String
    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    public var sha256: String
    public var bytes: Int

    public init(name: String, path: String, sha256: String, bytes: Int) {
        self.name = name
        self.path = path
        self.sha256 = sha256
        self.bytes = bytes
    }
}

/// A segmenter that can run here, with the weights it runs on.
public struct InstalledSegmenter: Sendable, Hashable {
    public var descriptor: SegmenterDescriptor
    /// `nil`: inside the executable.
    public var weights: WeightFile?

    public init(_ descriptor: SegmenterDescriptor, weights: WeightFile? = nil) {
        self.descriptor = descriptor
        self.weights = weights
    }
}
