// SPDX-License-Identifier: Apache-2.0

/// The image encoder's output for one image.
///
/// Keep it to answer further prompts on the same image.
public struct ImageEmbedding: Sendable, Hashable {
    /// The embedding, `[1, size, size, channels]`.
    public let values: Tensor

    /// Creates an embedding from `[1, size, size, channels]`.
    public init(values: Tensor) {
        precondition(values.shape.count == 4 && values.batch == 1, "one image's embedding, channels last")
        self.values = values
    }
}

/// A point prompt, in pixels of the network's input.
public struct PromptPoint: Sendable, Hashable {
    /// Whether the point lies on the structure; the raw values are the reference's labels.
    public enum Label: Int, Sendable, Hashable {
        /// The point lies beside the structure.
        case background = 0
        /// The point lies on the structure.
        case foreground = 1
    }

    /// The column, along a row of the input.
    public var x: Float
    /// The row of the input.
    public var y: Float
    /// Whether the point lies on the structure.
    public var label: Label

    /// Creates a point; x runs along a row.
    public init(x: Float, y: Float, label: Label = .foreground) {
        self.x = x
        self.y = y
        self.label = label
    }
}

/// A box prompt around the structure, XYXY in pixels of the network's input.
public struct PromptBox: Sendable, Hashable {
    /// The first column.
    public var x0: Float
    /// The first row.
    public var y0: Float
    /// The last column.
    public var x1: Float
    /// The last row.
    public var y1: Float

    /// Creates a box from its first corner (x0, y0) and its last corner (x1, y1).
    public init(x0: Float, y0: Float, x1: Float, y1: Float) {
        self.x0 = x0
        self.y0 = y0
        self.x1 = x1
        self.y1 = y1
    }
}

/// A prompt for one structure: points, a box, a mask, or several of these.
public struct Prompt: Sendable, Hashable {
    /// Points on the structure or beside it.
    public var points: [PromptPoint]
    /// A box around the structure.
    public var box: PromptBox?
    /// A mask prompt: low-resolution logits of an earlier answer, `[1, size, size, 1]`.
    public var mask: Tensor?

    /// Creates a prompt from any of the three kinds.
    public init(points: [PromptPoint] = [], box: PromptBox? = nil, mask: Tensor? = nil) {
        self.points = points
        self.box = box
        self.mask = mask
    }
}

/// The mask decoder's answer to a prompt.
public struct PromptAnswer: Sendable, Hashable {
    /// Low-resolution logits, `[masks, size, size]`: one mask, or three for whole, part and
    /// subpart.
    public var logits: Tensor
    /// The predicted IoU of every mask, `[masks]`.
    public var predictedIoU: [Float]

    /// Creates an answer.
    public init(logits: Tensor, predictedIoU: [Float]) {
        self.logits = logits
        self.predictedIoU = predictedIoU
    }
}
