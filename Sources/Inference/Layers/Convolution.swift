// SPDX-License-Identifier: Apache-2.0

import CKernels

/// A convolution over two or three axes with zero padding.
///
/// It can add a bias and a summand and apply an activation. The kernels pack the weights for one
/// input size at a time, at the first call with that size.
public final class Convolution {
    private let handle: OpaquePointer
    private let axes: Int
    private let inputs: Int
    private let outputs: Int
    private let kernel: Int
    private let stride: Int
    private let padding: Int
    private let adds: Bool

    /// Copies the weights.
    ///
    /// - Parameters:
    ///   - weight: `[outputs, inputs, (kernel,) kernel, kernel]`, PyTorch's order.
    ///   - bias: `[outputs]`, or `nil`.
    ///   - stride: the step between neighbouring outputs, the same on every axis.
    ///   - padding: zeros before and after the input, the same on every axis.
    ///   - adds: whether the output is added to a summand before the activation.
    ///   - negativeSlope: the activation: 1 is none, 0 is ReLU, any other value is leaky ReLU.
    ///   - precision: the format to which weights and inputs are rounded.
    /// - Throws: `ComputeError`.
    public init(
        weight: Tensor, bias: Tensor?, stride: Int = 1, padding: Int = 0, adds: Bool = false, negativeSlope: Float = 1,
        precision: Precision = .fp32
    ) throws(ComputeError) {
        axes = weight.shape.count - 2
        outputs = weight.shape[0]
        inputs = weight.shape[1]
        kernel = weight.shape[2]
        self.stride = stride
        self.padding = padding
        self.adds = adds
        precondition(bias.map { $0.shape == [weight.shape[0]] } ?? true, "one bias for every output channel")
        var shape = ck_convolution_shape(
            axes: Int32(axes), inputs: Int32(inputs), outputs: Int32(outputs), kernel: Int32(kernel),
            stride: Int32(stride), padding: Int32(padding), adds: adds ? 1 : 0, negative_slope: negativeSlope)
        var made: OpaquePointer?
        let form = precision == .bf16 ? ck_bf16 : ck_fp32
        let status =
            if let bias {
                ck_convolution_create(&shape, weight.values, bias.values, form, &made)
            } else {
                ck_convolution_create(&shape, weight.values, nil, form, &made)
            }
        guard let made else {
            if status == ck_unsupported, precision == .bf16 { throw .bf16Unavailable }
            throw .failed(operation: "making a convolution", status: Int(status.rawValue))
        }
        handle = made
    }

    deinit { ck_convolution_destroy(handle) }

    /// The name of oneDNN's implementation, such as `jit:avx2`, or an empty text before the first
    /// call.
    public var implementation: String { String(cString: ck_convolution_implementation(handle)) }

    /// Computes activation(convolution(input) + bias).
    ///
    /// - Parameter input: `[batch, (depth,) height, width, inputs]`; each extent is at least
    ///   `kernel - 2 * padding`.
    /// - Returns: `[batch, (depth,) height, width, outputs]`.
    /// - Throws: `ComputeError`.
    public func callAsFunction(_ input: Tensor) throws(ComputeError) -> Tensor {
        precondition(!adds, "this convolution needs a summand")
        var output = [Float]()
        let shape = outputShape(input)
        let count = shape.reduce(1, *)
        var status = ck_ok
        output = [Float](unsafeUninitializedCapacity: count) { buffer, filled in
            status = run(input, into: buffer)
            filled = count
        }
        try ComputeError.check(status, "a convolution to \(shape)")
        return Tensor(shape: shape, values: output)
    }

    /// Replaces `summand` by activation(convolution(input) + bias + summand).
    ///
    /// - Parameters:
    ///   - input: `[batch, (depth,) height, width, inputs]`.
    ///   - summand: has the shape of the output.
    /// - Throws: `ComputeError`.
    public func callAsFunction(_ input: Tensor, addingTo summand: inout Tensor) throws(ComputeError) {
        precondition(adds && summand.shape == outputShape(input), "the summand has the shape of the output")
        let status = summand.values.withUnsafeMutableBufferPointer { run(input, into: $0) }
        try ComputeError.check(status, "a convolution to \(summand.shape)")
    }

    private func outputShape(_ input: Tensor) -> [Int] {
        precondition(input.shape.count == axes + 2 && input.channels == inputs, "the input fits the weights")
        return [input.batch] + input.size.map { ($0 + 2 * padding - kernel) / stride + 1 } + [outputs]
    }

    private func run(_ input: Tensor, into buffer: UnsafeMutableBufferPointer<Float>) -> ck_status {
        ck_convolution_run(
            handle, Int64(input.batch), input.size.map(Int64.init), input.values, buffer.baseAddress)
    }
}

/// A product with the same matrix at every voxel: a convolution with kernel 1 and stride 1, in
/// fp32.
public struct PointwiseProduct {
    private let weight: Tensor
    private let bias: Tensor?

    /// Creates the product.
    ///
    /// - Parameters:
    ///   - weight: `[outputs, inputs, (1,) 1, 1]`.
    ///   - bias: `[outputs]`, or `nil`.
    public init(weight: Tensor, bias: Tensor?) {
        precondition(weight.shape.dropFirst(2).allSatisfy { $0 == 1 }, "a pointwise product has kernel 1")
        precondition(bias.map { $0.shape == [weight.shape[0]] } ?? true, "one bias for every output channel")
        self.weight = weight
        self.bias = bias
    }

    /// Computes `[batch, (depth,) height, width, outputs]` from `[batch, (depth,) height, width,
    /// inputs]`.
    public func callAsFunction(_ input: Tensor) -> Tensor {
        let (outputs, inputs) = (weight.shape[0], weight.shape[1])
        precondition(input.channels == inputs, "the input fits the weights")
        let rows = Int64(input.count / inputs)
        return Tensor(shape: [input.batch] + input.size + [outputs]) { output in
            if let bias {
                ck_product(rows, Int64(outputs), Int64(inputs), input.values, weight.values, bias.values, output)
            } else {
                ck_product(rows, Int64(outputs), Int64(inputs), input.values, weight.values, nil, output)
            }
        }
    }
}

/// A 1 x 1 convolution with its batch norm folded into the weights.
final class PointwiseConvolution {
    private let product: Linear

    var inputs: Int { product.inputs }
    var outputs: Int { product.outputs }

    /// Reads `name.c.weight` and the batch norm `name.bn`.
    ///
    /// - Parameters:
    ///   - weights: the checkpoint.
    ///   - name: the name of the layer in the checkpoint.
    ///   - inputs: the expected number of input channels, or `nil` for any.
    ///   - outputs: the expected number of output channels, or `nil` for any.
    ///   - precision: the format to which weights and inputs are rounded.
    /// - Throws: `WeightFileError` or `ComputeError`.
    init(
        _ weights: SafeTensors, _ name: String, inputs: Int? = nil, outputs: Int? = nil, _ precision: Precision
    ) throws {
        let found = try weights.shape("\(name).c.weight", axes: 4)
        let shape = [outputs ?? found[0], inputs ?? found[1], 1, 1]
        var weight = try weights.tensor("\(name).c.weight", shape: shape).values
        let norm = try BatchNorm(weights, "\(name).bn", shape[0])
        for index in weight.indices { weight[index] *= norm.scale[index / shape[1]] }
        product = try Linear(
            weight: weight, bias: norm.shift, outputs: shape[0], inputs: shape[1], precision: precision)
    }

    func apply(
        rows: Int, _ input: UnsafeRawPointer, to output: UnsafeMutableRawPointer, form: Precision = .fp32,
        activation: Linear.Activation = .identity, activatesLast: Bool = false, residual: UnsafePointer<Float>? = nil
    ) throws(ComputeError) {
        try product.apply(
            rows: rows, input, to: output, form: form, activation: activation, activatesLast: activatesLast,
            residual: residual)
    }
}

/// A depthwise 3 x 3 convolution with padding 1 and its batch norm folded into the weights, in
/// fp32.
final class DepthwiseConvolution {
    let stride: Int
    private let channels: Int
    /// The weights, `[3, 3, channels]`.
    private let weight: [Float]
    private let bias: [Float]

    init(_ weights: SafeTensors, _ name: String, channels: Int, stride: Int = 1) throws {
        self.channels = channels
        self.stride = stride
        let kernel = try weights.tensor("\(name).c.weight", shape: [channels, 1, 3, 3]).values
        let norm = try BatchNorm(weights, "\(name).bn", channels)
        weight = (0..<9 * channels).map { kernel[$0 % channels * 9 + $0 / channels] * norm.scale[$0 % channels] }
        bias = norm.shift
    }

    func apply(
        _ input: UnsafePointer<Float>, grid: Int, to output: UnsafeMutablePointer<Float>,
        activation: Linear.Activation
    ) {
        ck_depthwise(
            1, Int64(grid), Int64(grid), Int64(channels), 3, Int64(stride), input, weight, bias, activation.code,
            output)
    }
}

/// A batch norm (Ioffe 2015) with fixed statistics: x * scale + shift.
private struct BatchNorm {
    let scale: [Float]
    let shift: [Float]

    init(_ weights: SafeTensors, _ name: String, _ channels: Int) throws(WeightFileError) {
        let weight = try weights.tensor("\(name).weight", shape: [channels]).values
        let bias = try weights.tensor("\(name).bias", shape: [channels]).values
        let mean = try weights.tensor("\(name).running_mean", shape: [channels]).values
        let variance = try weights.tensor("\(name).running_var", shape: [channels]).values
        scale = zip(weight, variance).map { $0 / ($1 + 1e-5).squareRoot() }
        shift =
            channels == 0
            ? [] : (0..<channels).map { bias[$0] - mean[$0] * weight[$0] / (variance[$0] + 1e-5).squareRoot() }
    }
}
