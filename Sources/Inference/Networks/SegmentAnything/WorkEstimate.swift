// SPDX-License-Identifier: Apache-2.0
//
// How long a network will take, without running it: its operations counted from the shapes of its tensors, divided by
// the speed of the kernels at a product of typical size. An estimate: caches, other programs and the share of memory
// traffic are left out.

internal import CKernels
internal import Foundation

/// Floating-point operations (a product and its sum are two) of a network of the SAM family.
public struct WorkEstimate: Sendable, Hashable {
    /// Image encoder, once an image.
    public var encoder: Double
    /// Prompt encoder and mask decoder, once a prompt.
    public var decoder: Double

    /// LiteMedSAM's encoder and the mask decoder at 64 x 64, which all published networks share.
    private static let tinyEncoder = 75e9
    /// medsam-compact's encoder, and the size of its embedding.
    private static let convolutionalEncoder = 4.3e9
    private static let convolutionalTokens = 1024.0
    private static let publishedDecoder = 3.62e9
    private static let publishedTokens = 4096.0
    /// What an operation of attention costs, in those of products: softmax and short sums.
    private static let attentionCost = 1.8

    /// - Throws: `WeightFileError` when the tensors are not of such a network.
    public init(_ weights: SafeTensors) throws(WeightFileError) {
        let prefix = "image_encoder."
        guard weights.shape(of: ConvolutionalEncoder.firstTensor) == nil else {
            encoder = Self.convolutionalEncoder
            decoder = Self.publishedDecoder * Self.convolutionalTokens / Self.publishedTokens
            return
        }
        guard let positions = weights.shape(of: prefix + "pos_embed") else {
            (encoder, decoder) = (Self.tinyEncoder, Self.publishedDecoder)
            return
        }
        guard positions.count == 4 else {
            throw .shape(prefix + "pos_embed", expected: [1, 64, 64, 768], found: positions)
        }
        let (size, width) = (positions[1], positions[3])
        let tokens = Double(size * size)
        var operations = 0.0
        for name in weights.names where name.hasPrefix(prefix) {
            guard let shape = weights.shape(of: name) else { continue }
            if name.hasSuffix(".attn.rel_pos_h") {
                operations += Self.attention(size: size, window: (shape[0] + 1) / 2, width: width)
            } else if name.hasSuffix(".weight"), shape.count > 1 {
                operations += 2 * tokens * Double(shape.reduce(1, *))
            }
        }
        encoder = operations
        decoder = Self.publishedDecoder * tokens / Self.publishedTokens
    }

    private static func attention(size: Int, window: Int, width: Int) -> Double {
        let windows = (size + window - 1) / window
        let tokens = Double(window * window)
        return attentionCost * 4 * Double(windows * windows) * tokens * tokens * Double(width)
    }
}

extension Compute {
    /// Operations a second that the kernels reach here at a product of the size that image encoders have; the best of
    /// as many rounds as take `seconds`. `start` has been called on this thread.
    ///
    /// - Throws: `ComputeError`.
    public static func measuredSpeed(seconds: Double = 0.3) throws -> Double {
        let (rows, inputs, outputs) = (1024, 768, 768)
        let precision = try precision()
        let values = (0..<outputs * inputs).map { Float($0 % 251) / 251 - 0.5 }
        let layer = try Linear(weight: values, bias: nil, outputs: outputs, inputs: inputs, precision: precision)
        // The bits do not matter for the time, as long as they are no subnormal numbers.
        let input = [Float](repeating: 1, count: rows * inputs)
        var output = [Float](repeating: 0, count: rows * outputs)
        let clock = ContinuousClock()
        let start = clock.now
        var best = Double.infinity
        repeat {
            let begin = clock.now
            try input.withUnsafeBytes { input in
                try output.withUnsafeMutableBytes { output in
                    guard let from = input.baseAddress, let to = output.baseAddress else { return }
                    try layer.apply(rows: rows, from, to: to)
                }
            }
            best = min(best, (clock.now - begin) / .seconds(1))
        } while (clock.now - start) / .seconds(1) < seconds
        return 2 * Double(rows * inputs * outputs) / best
    }

    /// Operations a second of multiply-adds that fetch nothing, on all threads: the most that products could reach.
    /// `start` has been called on this thread.
    public static func bareSpeed(_ precision: Precision) -> Double {
        var operations = 0.0
        let seconds = ContinuousClock().measure {
            operations = ck_bare_loop(300_000, precision == .bf16 ? ck_bf16 : ck_fp32)
        }
        return operations / (seconds / .seconds(1))
    }
}
