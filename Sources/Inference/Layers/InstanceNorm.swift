// SPDX-License-Identifier: Apache-2.0

internal import CKernels

/// Instance normalisation: Ulyanov 2016, with biased variance as in PyTorch, then an optional summand and activation.
public struct InstanceNorm: Sendable {
    private let scale: [Float]
    private let shift: [Float]
    private let epsilon: Float
    private let negativeSlope: Float

    /// - Parameters:
    ///   - scale: `[channels]`, and so `shift`.
    ///   - negativeSlope: of the activation: 1 none, 0 ReLU, else leaky ReLU.
    public init(scale: Tensor, shift: Tensor, epsilon: Float = 1e-5, negativeSlope: Float = 1) {
        precondition(scale.shape.count == 1 && scale.shape == shift.shape, "one scale and shift for every channel")
        self.scale = scale.values
        self.shift = shift.values
        self.epsilon = epsilon
        self.negativeSlope = negativeSlope
    }

    /// x = activation(normalised(x) * scale + shift + summand).
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
