// SPDX-License-Identifier: Apache-2.0

/// What the image encoder says of one image; kept, it answers later prompts.
public struct ImageEmbedding: Sendable, Hashable {
    /// `[1, size, size, channels]`.
    public let values: Tensor

    public init(values: Tensor) {
        precondition(values.shape.count == 4 && values.batch == 1, "one image's embedding, channels last")
        self.values = values
    }
}

/// A point on the structure sought, or beside it. Pixels of the network's input, x along a row.
public struct PromptPoint: Sendable, Hashable {
    /// The reference's numbers.
    public enum Label: Int, Sendable, Hashable {
        case background = 0
        case foreground = 1
    }

    public var x: Float
    public var y: Float
    public var label: Label

    public init(x: Float, y: Float, label: Label = .foreground) {
        self.x = x
        self.y = y
        self.label = label
    }
}

/// A box around the structure sought, XYXY in pixels of the network's input.
public struct PromptBox: Sendable, Hashable {
    public var x0: Float
    public var y0: Float
    public var x1: Float
    public var y1: Float

    public init(x0: Float, y0: Float, x1: Float, y1: Float) {
        self.x0 = x0
        self.y0 = y0
        self.x1 = x1
        self.y1 = y1
    }
}

/// One question about an image: points, a box, a mask of an earlier answer, or several of these.
public struct Prompt: Sendable, Hashable {
    public var points: [PromptPoint]
    public var box: PromptBox?
    /// Low-resolution logits, `[1, size, size, 1]`.
    public var mask: Tensor?

    public init(points: [PromptPoint] = [], box: PromptBox? = nil, mask: Tensor? = nil) {
        self.points = points
        self.box = box
        self.mask = mask
    }
}

/// The mask decoder's answer to a prompt.
public struct PromptAnswer: Sendable, Hashable {
    /// Low-resolution logits, `[masks, size, size]`: one mask, or three for whole, part and subpart.
    public var logits: Tensor
    /// One for every mask.
    public var predictedIoU: [Float]

    public init(logits: Tensor, predictedIoU: [Float]) {
        self.logits = logits
        self.predictedIoU = predictedIoU
    }
}
