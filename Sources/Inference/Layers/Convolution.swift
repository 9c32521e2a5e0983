// SPDX-License-Identifier: Apache-2.0

internal import CKernels

/// A convolution over two or three axes with zero padding, an optional bias, summand and activation.
///
/// Its weights are packed for one input size at a time, on first use.
public final class Convolution {
    private let handle: OpaquePointer
    private let axes: Int
    private let inputs: Int
    private let outputs: Int
    private let kernel: Int
    private let stride: Int
    private let padding: Int
    private let adds: Bool

    /// - Parameters:
    ///   - weight: `[outputs, inputs, (kernel,) kernel, kernel]`, PyTorch's order.
    ///   - bias: `[outputs]`.
    ///   - adds: the output is added to a summand before the activation.
    ///   - negativeSlope: of the activation: 1 none, 0 ReLU, else leaky ReLU.
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

    /// What oneDNN runs, such as `jit:avx2`; empty before the first call.
    public var implementation: String { String(cString: ck_convolution_implementation(handle)) }

    /// - Parameter input: `[batch, (depth,) height, width, inputs]`, each extent at least kernel - 2 padding.
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

    /// activation(convolution(input) + bias + summand), in the summand's place.
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

/// A product with the same matrix at every voxel: a convolution with kernel 1 and stride 1, in fp32.
public struct PointwiseProduct {
    private let weight: Tensor
    private let bias: Tensor?

    /// - Parameters:
    ///   - weight: `[outputs, inputs, (1,) 1, 1]`.
    ///   - bias: `[outputs]`.
    public init(weight: Tensor, bias: Tensor?) {
        precondition(weight.shape.dropFirst(2).allSatisfy { $0 == 1 }, "a pointwise product has kernel 1")
        precondition(bias.map { $0.shape == [weight.shape[0]] } ?? true, "one bias for every output channel")
        self.weight = weight
        self.bias = bias
    }

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
