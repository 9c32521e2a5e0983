// SPDX-License-Identifier: Apache-2.0

public import Imaging
public import Inference

/// A frame with its image embedding.
///
/// Keep it to prompt the frame again.
public struct EmbeddedFrame: Sendable {
    /// The output of the image encoder.
    public let embedding: ImageEmbedding
    /// The place of the frame's pixels in the network's input.
    package let grid: InputGrid
    /// The finer levels that SAM 2's mask decoder reads too; `nil` for other networks.
    let features: FrameFeatures?

    /// Rows of the frame.
    public var rows: Int { grid.rows }
    /// Columns of the frame.
    public var columns: Int { grid.columns }
}

/// One mask of the answer to a prompt.
public struct PredictedMask: Sendable {
    /// The binary mask, of the frame's size.
    public var mask: Mask
    /// Foreground probability, `[rows, columns]`.
    public var probabilities: [Float]
    /// The network's estimate of the mask's IoU with the truth.
    ///
    /// MedSAM's estimate was never trained.
    public var predictedIoU: Float
    /// Low-resolution logits, `[size, size]`.
    ///
    /// As the mask prompt of the next call, they refine its answer.
    public var logits: Tensor
}

/// A promptable network with its family's pre- and post-processing.
///
/// Embed a frame once and prompt it many times. Use a predictor only on the thread that made it.
public final class SamPredictor {
    /// The family of the weights.
    public let family: ModelFamily
    private let network: Network

    /// The networks of the two generations.
    private enum Network {
        case first(SegmentAnything)
        case second(SegmentAnything2)

        var inputSize: Int {
            switch self {
            case .first(let network): network.inputSize
            case .second(let network): network.inputSize
            }
        }
    }

    /// Packs the weights of a network.
    ///
    /// - Parameters:
    ///   - weights: weights of `family`. SAM and MedSAM have the same tensors, so the weights do not show which of the
    ///     two they are.
    ///   - family: decides how images and answers are processed.
    ///   - precision: the number format of the matrix products.
    /// - Throws: `WeightFileError` or `ComputeError`.
    public init(_ weights: SafeTensors, family: ModelFamily, precision: Precision) throws {
        self.family = family
        network =
            switch family {
            case .sam2, .medsam2, .medsam2Compact:
                .second(try SegmentAnything2(weights, family: family, precision: precision))
            case .sam, .medsam, .liteMedSAM, .medsamCompact:
                .first(
                    try SegmentAnything(
                        weights, precision: precision,
                        inputSize: NetworkSettings(weights.metadata, family: family).inputSize))
            }
    }

    /// Runs the image encoder.
    ///
    /// The values of `frame` are finite. Grey values beyond 0...255 are scaled as `ByteImage.swift`
    /// describes.
    ///
    /// - Throws: `ComputeError`.
    public func embed(_ frame: Frame) throws -> EmbeddedFrame { try embed(prepare(image(frame))) }

    /// Answers one prompt.
    ///
    /// - Parameters:
    ///   - frame: an embedded frame.
    ///   - box: XYXY in pixels of the frame.
    ///   - points: in pixels of the frame.
    ///   - mask: low-resolution logits of an earlier answer, to be refined.
    ///   - multimask: whether to return three masks (whole, part, subpart) instead of one.
    /// - Returns: one or three masks of the frame's size.
    /// - Throws: `ComputeError` or `SegmentAnythingError`.
    public func predict(
        _ frame: EmbeddedFrame, box: Box? = nil, points: [LabeledPoint] = [], mask: Tensor? = nil, multimask: Bool
    ) throws -> [PredictedMask] {
        let prompt = Prompt(
            points: points.map(frame.grid.input), box: box.map(frame.grid.input),
            mask: mask.map { Tensor(shape: [1] + $0.shape.suffix(2) + [1], values: $0.values) })
        let answer = try decode(frame, [prompt], multimask: multimask)[0]
        let size = answer.logits.shape[1]
        return answer.predictedIoU.indices.map { index in
            let found = ImageAnswer(answer, mask: index, on: frame.grid)
            let plane = Array(answer.logits.values[index * size * size..<(index + 1) * size * size])
            return PredictedMask(
                mask: Mask(rows: frame.rows, columns: frame.columns, pixels: found.mask),
                probabilities: found.probabilities, predictedIoU: answer.predictedIoU[index],
                logits: Tensor(shape: [size, size], values: plane))
        }
    }

    // MARK: for recipes

    /// The frame as bytes, as the family's reference reads it.
    func image(_ frame: Frame) -> ByteImage {
        family == .sam || family == .sam2 ? ByteImage(stretching: frame) : ByteImage(clipping: frame)
    }

    /// The image as the network's input.
    func prepare(_ image: ByteImage) -> PreparedImage {
        PreparedImage(image, family: family, size: network.inputSize)
    }

    /// The place of an image's pixels in the network's input.
    func grid(rows: Int, columns: Int) -> InputGrid {
        InputGrid(rows: rows, columns: columns, family: family, size: network.inputSize)
    }

    /// Runs the image encoder.
    func embed(_ prepared: PreparedImage) throws -> EmbeddedFrame {
        switch network {
        case .first(let network):
            return EmbeddedFrame(embedding: try network.embed(prepared.input), grid: prepared.grid, features: nil)
        case .second(let network):
            let features = try network.encode(prepared.input)
            return EmbeddedFrame(
                embedding: ImageEmbedding(values: network.imageEmbedding(of: features)), grid: prepared.grid,
                features: features)
        }
    }

    /// Runs the prompt encoder and the mask decoder.
    ///
    /// medsam-compact also gets each box drawn as a mask prompt.
    func decode(_ frame: EmbeddedFrame, _ prompts: [Prompt], multimask: Bool) throws -> [PromptAnswer] {
        let network: SegmentAnything
        switch self.network {
        case .first(let first): network = first
        case .second(let second):
            guard let features = frame.features else { preconditionFailure("SAM 2 embedded the frame") }
            return try prompts.map { try second.decode(features, $0, multimask: multimask) }
        }
        guard family == .medsamCompact else {
            return try network.decode(frame.embedding, prompts, multimask: multimask)
        }
        let size = network.lowResolutionSize
        let drawn = prompts.map { prompt in
            guard let box = prompt.box, prompt.mask == nil else { return prompt }
            return Prompt(points: prompt.points, box: box, mask: DrawnBox.mask(box, size: size))
        }
        return try network.decode(frame.embedding, drawn, multimask: multimask)
    }
}

/// A box drawn as a mask prompt, which medsam-compact gets in addition to the box prompt (`drawn_box` of
/// training/recipes/medsam_compact.py).
package enum DrawnBox {
    /// Draws 5 in the centre of the box, 0 on the ellipse inside it, and -5 from its corners
    /// outwards.
    ///
    /// - Parameters:
    ///   - box: XYXY in pixels of an input of twice the size.
    ///   - size: height and width of the mask prompt.
    /// - Returns: `[1, size, size, 1]`.
    package static func mask(_ box: PromptBox, size: Int) -> Tensor {
        let across = squares(box.x0, box.x1, size)
        let values = squares(box.y0, box.y1, size).flatMap { down in
            across.map { 5 * min(max(1 - (down + $0), -1), 1) }
        }
        return Tensor(shape: [1, size, size, 1], values: values)
    }

    /// Squared distances of the pixels to the middle of `low...high`, in units of half its length.
    private static func squares(_ low: Float, _ high: Float, _ size: Int) -> [Float] {
        (0..<size).map { index in
            let share = (Float(2 * index + 1) - (low + high) / 2) / max((high - low) / 2, 1)
            return share * share
        }
    }
}
