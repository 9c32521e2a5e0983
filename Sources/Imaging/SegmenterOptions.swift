// SPDX-License-Identifier: Apache-2.0

/// A prompt given by a person, and parameters of a segmenter's recipe.
///
/// The recipe chooses the values that are `nil`.
public struct SegmenterOptions: Sendable, Hashable {
    /// The box prompt, in pixels of the image, or of the key slice of a volume.
    public var box: Box?
    /// The point prompts, in pixels of the image, or of the key slice of a volume.
    public var points: [LabeledPoint]
    /// The slice of a volume that box and points belong to, counted from 1 in the order of the volume's slices.
    public var keySlice: Int?
    /// Prompts of further slices, or of further frames in the order of time.
    public var slicePrompts: [SlicePrompt]
    /// The margin added on each side of boxes made from masks, in pixels of the network's input.
    public var margin: Double?
    /// The largest shift of a box when the stability of an answer is measured, in pixels of the network's input.
    public var shift: Double?
    /// The name of the recipe that tracks prompts through a volume, such as `medsam2`.
    public var recipe: String?
    /// The distance in slices between the boxes that a segmenter finds by itself.
    public var promptEvery: Int?

    /// Makes options; every value that is left out is the recipe's own choice.
    public init(
        box: Box? = nil, points: [LabeledPoint] = [], keySlice: Int? = nil, slicePrompts: [SlicePrompt] = [],
        margin: Double? = nil, shift: Double? = nil, recipe: String? = nil, promptEvery: Int? = nil
    ) {
        self.box = box
        self.points = points
        self.keySlice = keySlice
        self.slicePrompts = slicePrompts
        self.margin = margin
        self.shift = shift
        self.recipe = recipe
        self.promptEvery = promptEvery
    }

    /// Options without a prompt or a parameter.
    public static let none = SegmenterOptions()

    /// Whether there is a box or a point.
    public var hasPrompt: Bool { box != nil || !points.isEmpty || !slicePrompts.isEmpty }

    /// One word per option that is set, for derived UIDs and records.
    public var words: [String] {
        var words = Self.words(box, points)
        if let keySlice { words.append("keySlice=\(keySlice)") }
        words += slicePrompts.flatMap { prompt in
            Self.words(prompt.box, prompt.points).map { "slice=\(prompt.slice):\($0)" }
        }
        if let margin { words.append("margin=\(margin)") }
        if let shift { words.append("shift=\(shift)") }
        if let recipe { words.append("recipe=\(recipe)") }
        if let promptEvery { words.append("promptEvery=\(promptEvery)") }
        return words
    }

    private static func words(_ box: Box?, _ points: [LabeledPoint]) -> [String] {
        (box.map { ["box=\($0.x0),\($0.y0),\($0.x1),\($0.y1)"] } ?? [])
            + points.map { "point=\($0.x),\($0.y),\($0.isForeground ? "+" : "-")" }
    }
}

/// A person's prompt on one slice of a volume, or on one frame of a sequence.
public struct SlicePrompt: Sendable, Hashable, Codable {
    /// The slice, counted from 1 in the order of the volume's slices, or of the frames.
    public var slice: Int
    /// The box, in pixels of the slice.
    public var box: Box?
    /// The points, in pixels of the slice.
    public var points: [LabeledPoint]

    /// Makes the prompt of a slice.
    public init(slice: Int, box: Box? = nil, points: [LabeledPoint] = []) {
        self.slice = slice
        self.box = box
        self.points = points
    }
}

extension SegmenterOptions: Codable {
    private enum CodingKeys: String, CodingKey {
        case box, points, keySlice, slicePrompts, margin, shift, recipe, promptEvery
    }

    /// Reads options; a stored job of an earlier version lacks `slicePrompts`, `recipe` and `promptEvery`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            box: try container.decodeIfPresent(Box.self, forKey: .box),
            points: try container.decode([LabeledPoint].self, forKey: .points),
            keySlice: try container.decodeIfPresent(Int.self, forKey: .keySlice),
            slicePrompts: try container.decodeIfPresent([SlicePrompt].self, forKey: .slicePrompts) ?? [],
            margin: try container.decodeIfPresent(Double.self, forKey: .margin),
            shift: try container.decodeIfPresent(Double.self, forKey: .shift),
            recipe: try container.decodeIfPresent(String.self, forKey: .recipe),
            promptEvery: try container.decodeIfPresent(Int.self, forKey: .promptEvery))
    }

    /// Writes the options that are set, and the list of points.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encodeIfPresent(box, forKey: .box)
        try container.encode(points, forKey: .points)
        try container.encodeIfPresent(keySlice, forKey: .keySlice)
        if !slicePrompts.isEmpty { try container.encode(slicePrompts, forKey: .slicePrompts) }
        try container.encodeIfPresent(margin, forKey: .margin)
        try container.encodeIfPresent(shift, forKey: .shift)
        try container.encodeIfPresent(recipe, forKey: .recipe)
        try container.encodeIfPresent(promptEvery, forKey: .promptEvery)
    }
}
