// SPDX-License-Identifier: Apache-2.0

internal import CKernels

/// A product with the same matrix for every row, with bias, activation and summand; the matrix is packed once.
final class Linear {
    enum Activation {
        case identity
        /// By the error function, not its approximation.
        case gelu
        case relu
    }

    let inputs: Int
    let outputs: Int
    /// Of the rows that go in.
    let precision: Precision
    private let handle: OpaquePointer

    /// - Parameters:
    ///   - weight: `[outputs, inputs]`, any further axes of extent 1.
    ///   - bias: `[outputs]`.
    convenience init(weight: Tensor, bias: Tensor?, precision: Precision) throws(ComputeError) {
        try self.init(
            weight: weight.values, bias: bias?.values, outputs: weight.shape[0], inputs: weight.count / weight.shape[0],
            precision: precision)
    }

    init(weight: [Float], bias: [Float]?, outputs: Int, inputs: Int, precision: Precision) throws(ComputeError) {
        precondition(weight.count == outputs * inputs && bias.map { $0.count == outputs } ?? true, "the shapes fit")
        self.inputs = inputs
        self.outputs = outputs
        self.precision = precision
        var made: OpaquePointer?
        let status =
            if let bias {
                ck_matrix_create(Int64(outputs), Int64(inputs), weight, bias, precision.form, &made)
            } else {
                ck_matrix_create(Int64(outputs), Int64(inputs), weight, nil, precision.form, &made)
            }
        try ComputeError.check(status, "packing a matrix of \(outputs) x \(inputs)")
        guard let made else { throw .outOfMemory(operation: "packing a matrix") }
        handle = made
    }

    deinit { ck_matrix_destroy(handle) }

    /// output = activation(input weight^T + bias) + residual.
    ///
    /// - Parameters:
    ///   - activatesLast: activation(input weight^T + bias + residual) instead.
    ///   - input: `rows` rows in this layer's precision, `inputStride` numbers apart (`nil`: dense).
    ///   - output: `rows` rows in `form`, `outputStride` numbers apart; may be the residual itself.
    func apply(
        rows: Int, _ input: UnsafeRawPointer, inputStride: Int? = nil, to output: UnsafeMutableRawPointer,
        form: Precision = .fp32, outputStride: Int? = nil, activation: Activation = .identity,
        activatesLast: Bool = false, residual: UnsafePointer<Float>? = nil, residualStride: Int? = nil
    ) throws(ComputeError) {
        var call = ck_multiplication(
            rows: Int64(rows), input: input, input_stride: Int64(inputStride ?? inputs), output: output,
            output_form: form.form, output_stride: Int64(outputStride ?? outputs), activation: activation.code,
            residual: residual, residual_stride: Int64(residualStride ?? outputs), activates_last: activatesLast ? 1 : 0
        )
        try ComputeError.check(ck_matrix_multiply(handle, &call), "a product with \(outputs) x \(inputs)")
    }
}

extension Linear.Activation {
    var code: ck_activation {
        switch self {
        case .identity: ck_identity
        case .gelu: ck_gelu
        case .relu: ck_relu
        }
    }
}

extension Precision {
    /// The kernels' name.
    var form: ck_precision { self == .bf16 ? ck_bf16 : ck_fp32 }
}

/// Layer normalisation over the last axis (Ba 2016), with biased variance.
struct LayerNorm: Sendable {
    private let weight: [Float]
    private let bias: [Float]
    private let epsilon: Float

    /// - Parameters: `weight` and `bias`: `[channels]`.
    init(weight: Tensor, bias: Tensor, epsilon: Float) {
        self.weight = weight.values
        self.bias = bias.values
        self.epsilon = epsilon
    }

    var channels: Int { weight.count }

    /// Calls `body` with weight, bias and epsilon, for a kernel that norms by the way.
    func withParameters<Result>(
        _ body: (UnsafePointer<Float>?, UnsafePointer<Float>?, Float) throws -> Result
    ) rethrows -> Result {
        try weight.withUnsafeBufferPointer { weight in
            try bias.withUnsafeBufferPointer { bias in try body(weight.baseAddress, bias.baseAddress, epsilon) }
        }
    }

    /// What a row of zeros becomes.
    var zeroRow: [Float] { bias }

    /// Normalises `rows` dense fp32 rows into dense rows in `form`; output may be the input when that is fp32.
    func apply(
        rows: Int, _ input: UnsafePointer<Float>, to output: UnsafeMutableRawPointer, form: Precision = .fp32
    ) {
        ck_layer_norm(
            Int64(rows), Int64(channels), input, Int64(channels), weight, bias, epsilon, output, form.form,
            Int64(channels))
    }
}
