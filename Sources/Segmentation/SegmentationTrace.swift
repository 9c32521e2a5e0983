// SPDX-License-Identifier: Apache-2.0

public import Inference

/// What a promptable network took in and gave out for one frame or slice, or for a crop of one, in PyTorch's axis order.
public struct TracedFrame: Sendable {
    /// Index of the frame or slice in the input, from 0.
    public var index: Int
    /// Of the frame, in the order of automatic mask generation; 0: the whole.
    public var crop = 0
    /// `[1, 3, S, S]`, as the image encoder gets it.
    public var input: Tensor
    /// `[1, C, E, E]`.
    public var embedding: Tensor
    /// `[N, M, L, L]` of N prompts, `[K, L, L]` of the masks that passed the filters of automatic mask generation; `nil`
    /// where none was given to the network.
    public var logits: Tensor?
    /// `[N, M]`.
    public var predictedIoU: Tensor?
    /// Of automatic mask generation.
    public var masks: Masks?

    /// What automatic mask generation made of N points with M masks each.
    public struct Masks: Sendable {
        /// `[N, 2]`, x and y in pixels of the frame.
        public var points: Tensor
        /// `[4]`, XYXY in pixels of the frame, the end outside.
        public var cropBox: Tensor
        /// `[N, M]`; not a number where predicted IoU dropped the mask before anybody asked, and for 0/0.
        public var stabilityScores: Tensor
        /// `[K]`: places in `predictedIoU`, read row by row, of the masks that passed the filters; `nil` for none.
        public var passed: Tensor?
        /// `[K, 4]`, XYXY around those in pixels of the frame, the last column and row inside.
        public var boxes: Tensor?
        /// Places in `passed` of what non-maximum suppression left of the crop, best first.
        public var kept: Tensor?
    }

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
            ("boxes", masks?.boxes), ("crop_box", masks?.cropBox), ("image_embedding", embedding), ("input", input),
            ("iou_predictions", predictedIoU), ("kept", masks?.kept), ("low_res_logits", logits),
            ("passed", masks?.passed), ("point_coords", masks?.points), ("stability_scores", masks?.stabilityScores),
        ].compactMap { name, tensor in tensor.map { (name, $0) } }
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
        // A tensor has numbers.
        guard !trace.passed.isEmpty else { return }
        passed = tensor([trace.passed.count], trace.passed.map(Double.init))
        boxes = tensor([trace.passed.count, 4], trace.boxes.flatMap(box))
        kept = tensor([trace.kept.count], trace.kept.map(Double.init))
    }
}

/// Somebody who looks on while a segmenter runs, on its thread.
public protocol SegmentationTrace: AnyObject {
    /// Whether frames are recorded: that costs time and memory.
    var wantsTensors: Bool { get }
    /// Whether masks that were chosen from are.
    var wantsCandidates: Bool { get }

    /// Called once for every frame that the network saw, in the order of computation.
    func record(_ frame: TracedFrame) throws

    /// Called once for every frame by a segmenter that chooses among masks.
    ///
    /// - Parameter index: of the frame in the input, from 0.
    func record(_ candidates: CandidateMasks, of index: Int) throws
}

extension SegmentationTrace {
    public var wantsTensors: Bool { true }
    public var wantsCandidates: Bool { false }

    public func record(_ candidates: CandidateMasks, of index: Int) throws {}
}
