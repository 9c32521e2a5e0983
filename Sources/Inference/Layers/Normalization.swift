// SPDX-License-Identifier: Apache-2.0

import CKernels

/// Instance normalisation (Ulyanov 2016), followed by an optional summand and an activation.
///
/// The variance is biased, as in PyTorch.
public struct InstanceNorm: Sendable {
    private let scale: [Float]
    private let shift: [Float]
    private let epsilon: Float
    private let negativeSlope: Float

    /// Creates the layer.
    ///
    /// - Parameters:
    ///   - scale: `[channels]`.
    ///   - shift: `[channels]`.
    ///   - epsilon: added to the variance.
    ///   - negativeSlope: the activation: 1 is none, 0 is ReLU, any other value is leaky ReLU.
    public init(scale: Tensor, shift: Tensor, epsilon: Float = 1e-5, negativeSlope: Float = 1) {
        precondition(scale.shape.count == 1 && scale.shape == shift.shape, "one scale and shift for every channel")
        self.scale = scale.values
        self.shift = shift.values
        self.epsilon = epsilon
        self.negativeSlope = negativeSlope
    }

    /// Replaces `x` by activation(normalised(x) * scale + shift + summand).
    ///
    /// - Parameters:
    ///   - x: `[batch, (depth,) height, width, channels]`.
    ///   - summand: has the shape of `x`; `nil` adds nothing.
    /// - Throws: `ComputeError.outOfMemory`.
    public func apply(to x: inout Tensor, adding summand: Tensor? = nil) throws(ComputeError) {
        precondition(x.channels == scale.count, "the input fits the norm")
        precondition(summand.map { $0.shape == x.shape } ?? true, "the summand has the shape of the input")
        let (batch, channels) = (x.batch, x.channels)
        let voxels = x.count / batch / channels
        let status = x.values.withUnsafeMutableBufferPointer { values in
            if let summand {
                ck_instance_norm(
                    Int64(batch), Int64(voxels), Int64(channels), values.baseAddress, scale, shift, epsilon,
                    negativeSlope, summand.values)
            } else {
                ck_instance_norm(
                    Int64(batch), Int64(voxels), Int64(channels), values.baseAddress, scale, shift, epsilon,
                    negativeSlope, nil)
            }
        }
        try ComputeError.check(status, "an instance norm of \(x.shape)")
    }
}

/// Layer normalisation (Ba 2016) over the channels, with biased variance.
struct LayerNorm: Sendable {
    private let weight: [Float]
    private let bias: [Float]
    private let epsilon: Float

    /// Creates the layer.
    ///
    /// - Parameters:
    ///   - weight: `[channels]`.
    ///   - bias: `[channels]`.
    ///   - epsilon: added to the variance.
    init(weight: Tensor, bias: Tensor, epsilon: Float) {
        self.weight = weight.values
        self.bias = bias.values
        self.epsilon = epsilon
    }

    var channels: Int { weight.count }

    /// Calls `body` with weight, bias and epsilon, for a kernel that normalises along with other
    /// work.
    func withParameters<Result>(
        _ body: (UnsafePointer<Float>?, UnsafePointer<Float>?, Float) throws -> Result
    ) rethrows -> Result {
        try weight.withUnsafeBufferPointer { weight in
            try bias.withUnsafeBufferPointer { bias in try body(weight.baseAddress, bias.baseAddress, epsilon) }
        }
    }

    /// The output for a row of zeros, `[channels]`.
    var zeroRow: [Float] { bias }

    /// Normalises dense fp32 rows.
    ///
    /// - Parameters:
    ///   - rows: the number of rows.
    ///   - input: `[rows, channels]`.
    ///   - output: `[rows, channels]` in `form`; it may be the input if `form` is fp32.
    ///   - form: the number format of the output.
    ///   - activation: is applied to the normalised rows.
    func apply(
        rows: Int, _ input: UnsafePointer<Float>, to output: UnsafeMutableRawPointer, form: Precision = .fp32,
        activation: Linear.Activation = .identity
    ) {
        ck_layer_norm(
            Int64(rows), Int64(channels), input, Int64(channels), weight, bias, epsilon, activation.code, output,
            form.form, Int64(channels))
    }
}

extension SafeTensors {
    /// The layer norm with the tensors `name.weight` and `name.bias`, both `[channels]`.
    func layerNorm(_ name: String, _ channels: Int, epsilon: Float) throws(WeightFileError) -> LayerNorm {
        LayerNorm(
            weight: try tensor("\(name).weight", shape: [channels]),
            bias: try tensor("\(name).bias", shape: [channels]),
            epsilon: epsilon)
    }
}
