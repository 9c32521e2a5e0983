// SPDX-License-Identifier: Apache-2.0

/// A prompt given by a person, and parameters of a segmenter's recipe.
///
/// The recipe chooses the values that are `nil`.
public struct SegmenterOptions: Sendable, Hashable, Codable {
    /// The box prompt, in pixels of the image, or of the key slice of a volume.
    public var box: Box?
    /// The point prompts, in pixels of the image.
    public var points: [LabeledPoint]
    /// The slice of a volume that the box belongs to, counted from 1 in the order of the volume's slices.
    public var keySlice: Int?
    /// The margin added on each side of boxes made from masks, in pixels of the network's input.
    public var margin: Double?
    /// The largest shift of a box when the stability of an answer is measured, in pixels of the network's input.
    public var shift: Double?

    /// Makes options; every value that is left out is the recipe's own choice.
    public init(
        box: Box? = nil, points: [LabeledPoint] = [], keySlice: Int? = nil, margin: Double? = nil, shift: Double? = nil
    ) {
        self.box = box
        self.points = points
        self.keySlice = keySlice
        self.margin = margin
        self.shift = shift
    }

    /// Options without a prompt or a parameter.
    public static let none = SegmenterOptions()

    /// Whether there is a box or a point.
    public var hasPrompt: Bool { box != nil || !points.isEmpty }

    /// One word per option that is set, for derived UIDs and records.
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
