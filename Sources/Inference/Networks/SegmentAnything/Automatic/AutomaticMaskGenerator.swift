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
    ///   - progress: called with (batches of points done, all batches) after every batch; may throw to stop.
    /// - Throws: `SegmentAnythingError`, `ComputeError`, and what `view` and `progress` throw.
    public func masks(
        height: Int, width: Int, view: (PixelBox) throws -> View, progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws -> [AutomaticMask] {
        let crops = try MaskCrop.all(height: height, width: width, parameters: parameters)
        let size = parameters.pointsPerBatch
        let batches = crops.reduce(0) { $0 + ($1.points.count + size - 1) / size }
        var done = 0
        let found = try crops.map { crop in
            let view = try view(crop.box)
            var masks = CropMasks(crop, height: height, width: width, parameters: parameters)
            let scaling = LogitScaling(
                low: network.lowResolutionSize, input: network.inputSize,
                resized: (view.transform.resizedHeight, view.transform.resizedWidth),
                crop: (crop.box.height, crop.box.width))
            for first in stride(from: 0, to: crop.points.count, by: size) {
                let points = crop.points[first..<min(first + size, crop.points.count)]
                try consider(points, view, scaling, &masks)
                done += 1
                try progress(done, batches)
            }
            return masks.finish()
        }
        return [AutomaticMask](of: found, parameters: parameters)
    }

    private func consider(
        _ points: ArraySlice<GridPoint>, _ view: View, _ scaling: LogitScaling, _ masks: inout CropMasks
    ) throws {
        let prompts = points.map { point in
            let (x, y) = view.transform.input(x: point.x, y: point.y)
            return Prompt(points: [PromptPoint(x: x, y: y)])
        }
        let answers = try network.decode(view.embedding, prompts, multimask: true) { predictedIoU in
            predictedIoU.contains { masks.accepts(predictedIoU: $0) }
        }
        for case (let point, let answer?) in zip(points, answers) {
            let each = answer.logits.count / answer.predictedIoU.count
            answer.logits.values.withUnsafeBufferPointer { logits in
                // Every answer has logits.
                guard let base = logits.baseAddress else { return }
                for (index, predictedIoU) in answer.predictedIoU.enumerated()
                where masks.accepts(predictedIoU: predictedIoU) {
                    masks.consider(point, predictedIoU: predictedIoU, low: base + index * each, scaling)
                }
            }
        }
    }
}
