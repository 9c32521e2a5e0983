// SPDX-License-Identifier: Apache-2.0

/// An error in the use of a tracker.
public enum TrackingError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A frame does not belong to the sequence.
    case frame(Int, count: Int)
    /// Tracking needs a prompt.
    case noPrompt
    /// A prompt has neither points nor a box.
    case emptyPrompt
    /// A tracked frame cannot be corrected, because its memories were dropped.
    case dropped(frame: Int)

    /// The message for an operator.
    public var description: String {
        switch self {
        case .frame(let frame, let count): "frame \(frame) does not belong to a sequence of \(count) frames"
        case .noPrompt: "no frame has a prompt; prompt a frame before tracking"
        case .emptyPrompt: "the prompt has neither points nor a box"
        case .dropped(let frame):
            "frame \(frame) was tracked and its memories were dropped; prompt it before tracking, or keep the history"
        }
    }
}

/// The object's mask in one frame.
public struct TrackedFrame: Sendable, Hashable {
    /// The index of the frame.
    public var frame: Int
    /// Low-resolution logits, `[1, size, size]`; -1024 everywhere if the object is not in the frame.
    public var logits: Tensor
    /// A logit; the object is in the frame if it is above 0.
    public var objectScore: Float
    /// The predicted IoU of the mask; 1 for a mask that was given.
    public var predictedIoU: Float
    /// Whether the frame was prompted.
    public var isPrompted: Bool
    /// What the frame attended to; empty for a frame that was prompted first.
    public var selection: MemorySelection?

    /// Logits of the frame's own size, by torch's bilinear interpolation, `[height * width]`.
    public func logits(height: Int, width: Int) -> [Float] {
        let (rows, columns) = (logits.shape[1], logits.shape[2])
        var between = [Float](repeating: 0, count: rows * width)
        var resized = [Float](repeating: 0, count: height * width)
        logits.values.withUnsafeBufferPointer { from in
            between.withUnsafeMutableBufferPointer { to in
                BilinearMatrix(from: columns, to: width).apply(outer: rows, inner: 1, from.baseAddress, to.baseAddress)
            }
        }
        between.withUnsafeBufferPointer { from in
            resized.withUnsafeMutableBufferPointer { to in
                BilinearMatrix(from: rows, to: height).apply(outer: 1, inner: width, from.baseAddress, to.baseAddress)
            }
        }
        return resized
    }
}
