// SPDX-License-Identifier: Apache-2.0
//
// SamAutomaticMaskGenerator of segment-anything 1.0. The generator sets a grid of points on the image and on crops of
// it. Each point gives three masks, and filters decide which of them are kept. The reference enlarges all masks before
// it filters by predicted IoU. Here the filter comes first, with the same result.

/// Generates masks of everything in an image.
public struct AutomaticMaskGenerator {
    /// The embedding of a crop and its geometry.
    public struct View: Sendable {
        /// The image embedding of the crop.
        public let embedding: ImageEmbedding
        /// The transform between the crop, not the whole image, and the network's input.
        public let transform: SamTransform

        /// Creates a view of a crop.
        public init(embedding: ImageEmbedding, transform: SamTransform) {
            self.embedding = embedding
            self.transform = transform
        }
    }

    private let network: SegmentAnything
    /// The parameters of the generation.
    public let parameters: AutomaticMaskParameters

    /// Creates a generator.
    ///
    /// - Parameters:
    ///   - network: the network; the generator runs on the network's thread.
    ///   - parameters: the parameters of the generation.
    /// - Throws: `AutomaticMaskError.parameter`.
    public init(
        _ network: SegmentAnything, _ parameters: AutomaticMaskParameters = AutomaticMaskParameters()
    ) throws(AutomaticMaskError) {
        try parameters.check()
        self.network = network
        self.parameters = parameters
    }

    /// Generates the masks of an image.
    ///
    /// - Parameters:
    ///   - height: the height of the image.
    ///   - width: the width of the image.
    ///   - view: prepares a crop as the recipe requires and embeds it; called once per crop, first
    ///     for the whole image.
    ///   - trace: receives the trace of each crop after the crop's last point; without it, traces
    ///     are not collected.
    ///   - progress: receives the number of batches of points done and their total after every
    ///     batch; it may throw to stop.
    /// - Returns: the masks in the reference's order; without crops, by falling predicted IoU.
    /// - Throws: `SegmentAnythingError`, `ComputeError`, and the errors of `view`, `trace` and
    ///   `progress`.
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

    /// Prompts the network with a batch of points and passes their masks to the filters.
    private func consider(
        _ points: ArraySlice<GridPoint>, _ view: View, _ scaling: LogitScaling, _ masks: inout CropMasks,
        _ traced: inout CropTrace?
    ) throws {
        let first = traced?.predictedIoU.count ?? 0
        let prompts = points.map { point in
            let (x, y) = view.transform.input(x: point.x, y: point.y)
            return Prompt(points: [PromptPoint(x: x, y: y)])
        }
        // `decode` calls this closure in the order of the prompts, because all of them are of one
        // kind.
        let answers = try network.decode(view.embedding, prompts, multimask: true) { predictedIoU in
            traced?.add(predictedIoU)
            return predictedIoU.contains { masks.accepts(predictedIoU: $0) }
        }
        for (number, (point, answer)) in zip(points, answers).enumerated() {
            guard let answer else { continue }
            let place = first + number * answer.predictedIoU.count
            let each = answer.logits.count / answer.predictedIoU.count
            answer.logits.values.withUnsafeBufferPointer { logits in
                // Every answer has logits, so their buffer has an address.
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
