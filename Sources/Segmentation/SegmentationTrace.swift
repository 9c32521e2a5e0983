// SPDX-License-Identifier: Apache-2.0

public import Inference

/// What a promptable network took in and gave out for one frame or slice, in PyTorch's axis order.
public struct TracedFrame: Sendable {
    /// Index of the frame or slice in the input, from 0.
    public var index: Int
    /// `[1, 3, S, S]`, as the image encoder gets it.
    public var input: Tensor
    /// `[1, C, E, E]`.
    public var embedding: Tensor
    /// `[N, M, L, L]` of N prompts; `nil` where none was given to the network.
    public var logits: Tensor?
    /// `[N, M]`.
    public var predictedIoU: Tensor?

    public init(index: Int, input: Tensor, embedding: Tensor, logits: Tensor?, predictedIoU: Tensor?) {
        self.index = index
        self.input = input
        self.embedding = embedding
        self.logits = logits
        self.predictedIoU = predictedIoU
    }

    /// By the names that conformance checks read, sorted.
    public var tensors: [(name: String, tensor: Tensor)] {
        [
            ("image_embedding", embedding), ("input", input), ("iou_predictions", predictedIoU),
            ("low_res_logits", logits),
        ].compactMap { name, tensor in tensor.map { (name, $0) } }
    }
}

/// Somebody who looks on while a segmenter runs, on its thread.
public protocol SegmentationTrace: AnyObject {
    /// Called once for every frame that the network saw, in the order of computation.
    func record(_ frame: TracedFrame) throws
}
