// SPDX-License-Identifier: Apache-2.0
//
// SamAutomaticMaskGenerator of segment-anything 1.0: a grid of points on the image and on crops of it, three masks for
// each, and what of them is worth keeping. The reference enlarges all masks first; here those that their predicted IoU
// drops are dropped before, with the same result.

/// Finds the masks of everything in an image.
public struct AutomaticMaskGenerator {
    /// The network's view of a crop.
    public struct View: Sendable {
        public let embedding: ImageEmbedding
        /// Between the crop (not the image) and the network's input.
        public let transform: SamTransform

        public init(embedding: ImageEmbedding, transform: SamTransform) {
            self.embedding = embedding
            self.transform = transform
        }
    }

    private let network: SegmentAnything
    public let parameters: AutomaticMaskParameters

    /// - Throws: `AutomaticMaskError.parameter`.
    public init(
        _ network: SegmentAnything, _ parameters: AutomaticMaskParameters = AutomaticMaskParameters()
    ) throws(AutomaticMaskError) {
        try parameters.check()
        self.network = network
        self.parameters = parameters
    }

    /// The masks of an image, in the reference's order: without crops by falling predicted IoU.
    ///
    /// - Parameters:
    ///   - height: of the image.
    ///   - width: likewise.
    ///   - view: prepares a crop as the recipe says, and embeds it; called once for each crop, the whole image first.
    ///   - trace: called for each crop after its last point; takes memory where given.
    ///   - progress: called with (batches of points done, all batches) after every batch; may throw to stop.
    /// - Throws: `SegmentAnythingError`, `ComputeError`, and what `view`, `trace` and `progress` throw.
    public func masks(
        height: Int, width: Int, view: (PixelBox) throws -> View, trace: ((CropTrace) throws -> Void)? = nil,
        progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws -> [AutomaticMask] {
        let crops = try MaskCrop.all(height: height, width: width, parameters: parameters)
        let size = parameters.pointsPerBatch
        let batches = crops.reduce(0) { $0 + ($1.points.count + size - 1) / size }
        var done = 0
        let found = try crops.map { crop in
            let view = try view(crop.box)
            var masks = CropMasks(crop, height: height, width: width, parameters: parameters)
            var traced = trace.map { _ in CropTrace(crop) }
            let scaling = LogitScaling(
                low: network.lowResolutionSize, input: network.inputSize,
                resized: (view.transform.resizedHeight, view.transform.resizedWidth),
                crop: (crop.box.height, crop.box.width))
            for first in stride(from: 0, to: crop.points.count, by: size) {
                let points = crop.points[first..<min(first + size, crop.points.count)]
                try consider(points, view, scaling, &masks, &traced)
                done += 1
                try progress(done, batches)
            }
            if var traced {
                traced.finish(masks)
                try trace?(traced)
            }
            return masks.finish()
        }
        return [AutomaticMask](of: found, parameters: parameters)
    }

    private func consider(
        _ points: ArraySlice<GridPoint>, _ view: View, _ scaling: LogitScaling, _ masks: inout CropMasks,
        _ traced: inout CropTrace?
    ) throws {
        let first = traced?.predictedIoU.count ?? 0
        let prompts = points.map { point in
            let (x, y) = view.transform.input(x: point.x, y: point.y)
            return Prompt(points: [PromptPoint(x: x, y: y)])
        }
        // Prompts of one kind are asked about in their order.
        let answers = try network.decode(view.embedding, prompts, multimask: true) { predictedIoU in
            traced?.add(predictedIoU)
            return predictedIoU.contains { masks.accepts(predictedIoU: $0) }
        }
        for (number, (point, answer)) in zip(points, answers).enumerated() {
            guard let answer else { continue }
            let place = first + number * answer.predictedIoU.count
            let each = answer.logits.count / answer.predictedIoU.count
            answer.logits.values.withUnsafeBufferPointer { logits in
                // Every answer has logits.
                guard let base = logits.baseAddress else { return }
                for (index, predictedIoU) in answer.predictedIoU.enumerated()
                where masks.accepts(predictedIoU: predictedIoU) {
                    let logits = base + index * each
                    let considered = masks.consider(point, predictedIoU: predictedIoU, low: logits, scaling)
                    if let considered { traced?.add(considered, at: place + index, logits: logits, count: each) }
                }
            }
        }
    }
}
