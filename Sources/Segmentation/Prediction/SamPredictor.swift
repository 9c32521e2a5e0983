// SPDX-License-Identifier: Apache-2.0

public import Imaging
public import Inference

/// A frame that an image encoder has seen: keep it, to prompt it again.
public struct EmbeddedFrame: Sendable {
    public let embedding: ImageEmbedding
    package let grid: InputGrid

    public var rows: Int { grid.rows }
    public var columns: Int { grid.columns }
}

/// One mask that a prompt was answered with.
public struct PredictedMask: Sendable {
    public var mask: Mask
    /// Foreground probability, `[rows, columns]`.
    public var probabilities: [Float]
    /// What the network expects the mask's IoU with the truth to be; MedSAM's was never trained.
    public var predictedIoU: Float
    /// Low-resolution logits, `[size, size]`; as a mask prompt they refine the next answer.
    public var logits: Tensor
}

/// A promptable network with its family's pre- and post-processing: embed a frame once, prompt it many times. One thread
/// uses it, the one that made it.
public final class SamPredictor {
    public let family: ModelFamily
    private let network: SegmentAnything

    /// - Parameter weights: of this family: the tensors of SAM and MedSAM do not tell which of the two they are.
    /// - Throws: `WeightFileError` or `ComputeError`.
    public init(_ weights: SafeTensors, family: ModelFamily, precision: Precision) throws {
        self.family = family
        network = try SegmentAnything(weights, precision: precision, inputSize: Self.inputSize(weights))
    }

    /// Scaled-down TinyViTs say in the file's metadata what no tensor tells; published ones say nothing.
    private static func inputSize(_ weights: SafeTensors) throws(WeightFileError) -> Int? {
        guard let text = weights.metadata["inputSize"] else { return nil }
        guard let size = Int(text), (32...1024).contains(size), size % 16 == 0 else {
            throw .header(reason: "its inputSize is not a multiple of 16 from 32 to 1024")
        }
        return size
    }

    /// Runs the image encoder.
    ///
    /// - Parameter frame: finite; grey beyond 0...255 is scaled as `ByteImage.swift` says.
    public func embed(_ frame: Frame) throws -> EmbeddedFrame { try embed(prepare(image(frame))) }

    /// Answers one prompt, in pixels of the frame.
    ///
    /// - Parameters:
    ///   - mask: low-resolution logits of an earlier answer, to be refined.
    ///   - multimask: three masks (whole, part, subpart) instead of one.
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

    func image(_ frame: Frame) -> ByteImage {
        family == .sam ? ByteImage(stretching: frame) : ByteImage(clipping: frame)
    }

    func prepare(_ image: ByteImage) -> PreparedImage {
        PreparedImage(image, family: family, size: network.inputSize)
    }

    func grid(rows: Int, columns: Int) -> InputGrid {
        InputGrid(rows: rows, columns: columns, family: family, size: network.inputSize)
    }

    func embed(_ prepared: PreparedImage) throws -> EmbeddedFrame {
        EmbeddedFrame(embedding: try network.embed(prepared.input), grid: prepared.grid)
    }

    func decode(_ frame: EmbeddedFrame, _ prompts: [Prompt], multimask: Bool) throws -> [PromptAnswer] {
        guard family == .medsamCompact else {
            return try network.decode(frame.embedding, prompts, multimask: multimask)
        }
        let drawn = prompts.map { prompt in
            guard let box = prompt.box, prompt.mask == nil else { return prompt }
            return Prompt(points: prompt.points, box: box, mask: DrawnBox.mask(box, size: network.lowResolutionSize))
        }
        return try network.decode(frame.embedding, drawn, multimask: multimask)
    }
}
