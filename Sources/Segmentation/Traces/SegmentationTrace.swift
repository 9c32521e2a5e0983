// SPDX-License-Identifier: Apache-2.0

public import Inference

/// Inputs and outputs of a promptable network for one frame, slice or crop, in PyTorch's axis
/// order.
public struct TracedFrame: Sendable {
    /// Index of the frame or slice in the input, from 0.
    public var index: Int
    /// Index of the crop in the order of automatic mask generation; 0 is the whole frame.
    public var crop = 0
    /// The image encoder's input, `[1, 3, S, S]`.
    public var input: Tensor
    /// The image embedding, `[1, C, E, E]`.
    public var embedding: Tensor
    /// Low-resolution logits; `nil` without a prompt.
    ///
    /// `[N, M, L, L]` for N prompts. Automatic mask generation records the masks that pass its
    /// filters, `[K, L, L]`.
    public var logits: Tensor?
    /// Predicted IoU, `[N, M]`.
    public var predictedIoU: Tensor?
    /// The records of automatic mask generation; `nil` for other segmenters.
    public var masks: Masks?
    /// The records of tracking; `nil` for segmenters that answer each frame by itself.
    ///
    /// `embedding` is then the image embedding before any memory is added.
    public var tracking: Tracking?

    /// The records of one tracked slice or frame.
    public struct Tracking: Sendable {
        /// The object score, a logit, `[1]`.
        public var objectScore: Tensor
        /// The image embedding with the memories, `[1, C, E, E]`.
        public var conditioned: Tensor?
        /// The memory that later frames attend to, rounded to bf16, `[1, C / 4, E, E]`.
        public var memory: Tensor?
        /// The object pointer, `[C]`.
        public var pointer: Tensor?
        /// What the frame attended to; `nil` for a prompted frame.
        public var selection: MemorySelection?
    }

    /// The records of automatic mask generation for N points with M masks each.
    public struct Masks: Sendable {
        /// Points, x and y in pixels of the frame, `[N, 2]`.
        public var points: Tensor
        /// The crop, XYXY in pixels of the frame, the end excluded, `[4]`.
        public var cropBox: Tensor
        /// Stability scores, `[N, M]`; NaN for 0/0, and if predicted IoU dropped the mask before
        /// its score was computed.
        public var stabilityScores: Tensor
        /// Indices into `predictedIoU`, read row by row, of the masks that pass the filters, `[K]`;
        /// `nil` if every mask fails a filter.
        public var passed: Tensor?
        /// Boxes around those masks, XYXY in pixels of the frame, the end included, `[K, 4]`.
        public var boxes: Tensor?
        /// Indices into `passed` of the masks that non-maximum suppression keeps, best first.
        public var kept: Tensor?
    }

    /// Makes a record from tensors in PyTorch's axis order.
    public init(index: Int, input: Tensor, embedding: Tensor, logits: Tensor?, predictedIoU: Tensor?) {
        self.index = index
        self.input = input
        self.embedding = embedding
        self.logits = logits
        self.predictedIoU = predictedIoU
    }

    /// The tensors with the names that conformance checks read, sorted by name.
    public var tensors: [(name: String, tensor: Tensor)] {
        [
            ("boxes", masks?.boxes), ("crop_box", masks?.cropBox), ("image_embedding", embedding), ("input", input),
            ("iou_predictions", predictedIoU), ("kept", masks?.kept), ("low_res_logits", logits),
            ("memory", tracking?.memory), ("memory_conditioned", tracking?.conditioned),
            ("memory_frames", tracking?.memoryFrames), ("object_pointer", tracking?.pointer),
            ("object_score", tracking?.objectScore), ("passed", masks?.passed), ("point_coords", masks?.points),
            ("pointer_frames", tracking?.pointerFrames), ("stability_scores", masks?.stabilityScores),
        ].compactMap { name, tensor in tensor.map { (name, $0) } }
    }
}

extension TracedFrame.Tracking {
    /// The frames whose memories the frame attended to, each with its temporal index, `[N, 2]`; frames count from 0.
    var memoryFrames: Tensor? {
        Self.pairs(selection?.memories.map { ($0.frame, $0.temporalIndex) } ?? [])
    }

    /// The frames whose object pointers the frame attended to, each with its distance, `[N, 2]`; frames count from 0.
    var pointerFrames: Tensor? {
        Self.pairs(selection?.pointers.map { ($0.frame, $0.distance) } ?? [])
    }

    /// A tensor cannot be empty, so the result is `nil` without pairs.
    private static func pairs(_ pairs: [(Int, Int)]) -> Tensor? {
        guard !pairs.isEmpty else { return nil }
        return Tensor(shape: [pairs.count, 2], values: pairs.flatMap { [Float($0.0), Float($0.1)] })
    }
}

extension TracedFrame.Masks {
    init(_ trace: CropTrace) {
        func tensor(_ shape: [Int], _ values: [Double]) -> Tensor {
            Tensor(shape: shape, values: values.map(Float.init))
        }
        func box(_ box: PixelBox) -> [Double] { [box.x0, box.y0, box.x1, box.y1].map(Double.init) }
        let (crop, count) = (trace.crop, trace.crop.points.count)
        points = tensor(
            [count, 2], crop.points.flatMap { [$0.x + Double(crop.box.x0), $0.y + Double(crop.box.y0)] })
        cropBox = tensor([4], box(crop.box))
        stabilityScores = Tensor(shape: [count, trace.stabilityScore.count / count], values: trace.stabilityScore)
        // A tensor cannot be empty.
        guard !trace.passed.isEmpty else { return }
        passed = tensor([trace.passed.count], trace.passed.map(Double.init))
        boxes = tensor([trace.passed.count, 4], trace.boxes.flatMap(box))
        kept = tensor([trace.kept.count], trace.kept.map(Double.init))
    }
}

/// Receives the inputs and outputs of a segmenter's network, on the segmenter's thread.
public protocol SegmentationTrace: AnyObject {
    /// Whether frames are recorded, which costs time and memory.
    var wantsTensors: Bool { get }
    /// Whether the masks among which a segmenter chooses are recorded.
    var wantsCandidates: Bool { get }

    /// Records a frame or crop. The segmenter calls this in the order of computation.
    func record(_ frame: TracedFrame) throws

    /// Records the masks among which a segmenter chooses.
    ///
    /// - Parameters:
    ///   - candidates: all masks of the frame.
    ///   - index: the index of the frame in the input, from 0.
    /// - Throws: an error of the receiver, which ends the segmentation.
    func record(_ candidates: CandidateMasks, of index: Int) throws
}

extension SegmentationTrace {
    /// A trace records frames unless it says otherwise.
    public var wantsTensors: Bool { true }
    /// A trace does not record candidate masks unless it says otherwise.
    public var wantsCandidates: Bool { false }

    /// Ignores the masks.
    public func record(_ candidates: CandidateMasks, of index: Int) throws {}
}
