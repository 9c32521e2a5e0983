// SPDX-License-Identifier: Apache-2.0

import CKernels

/// A linear layer: a product with the same matrix for every row, with bias, activation and
/// residual.
///
/// The matrix is packed once, for the kernel path in use at that moment.
final class Linear {
    /// The function that is applied to the product.
    enum Activation {
        case identity
        /// GELU with the error function, not with its tanh approximation.
        case gelu
        case relu
    }

    let inputs: Int
    let outputs: Int
    /// The number format of the input rows and of the packed matrix.
    let precision: Precision
    private let handle: OpaquePointer

    /// Packs a copy of the weights.
    ///
    /// - Parameters:
    ///   - weight: `[outputs, inputs]`; further axes have extent 1.
    ///   - bias: `[outputs]`, or `nil`.
    ///   - precision: the number format of the input rows.
    /// - Throws: `ComputeError`.
    convenience init(weight: Tensor, bias: Tensor?, precision: Precision) throws(ComputeError) {
        try self.init(
            weight: weight.values, bias: bias?.values, outputs: weight.shape[0], inputs: weight.count / weight.shape[0],
            precision: precision)
    }

    /// Packs a copy of the weights `[outputs, inputs]` and the bias `[outputs]`.
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

    /// Computes output = activation(input weight^T + bias) + residual.
    ///
    /// - Parameters:
    ///   - rows: the number of rows.
    ///   - input: `[rows, inputs]` in this layer's precision.
    ///   - inputStride: numbers between the starts of neighbouring input rows; `nil` means dense.
    ///   - output: `[rows, outputs]` in `form`; it may be the residual itself.
    ///   - form: the number format of the output.
    ///   - outputStride: numbers between the starts of neighbouring output rows; `nil` means dense.
    ///   - activation: the activation.
    ///   - activatesLast: computes activation(input weight^T + bias + residual) instead.
    ///   - residual: `[rows, outputs]`, or `nil`.
    ///   - residualStride: numbers between the starts of neighbouring residual rows; `nil` means
    ///     dense.
    ///   - groups: how rows of the output and of the residual are grouped; `nil` means that they are not.
    /// - Throws: `ComputeError`.
    func apply(
        rows: Int, _ input: UnsafeRawPointer, inputStride: Int? = nil, to output: UnsafeMutableRawPointer,
        form: Precision = .fp32, outputStride: Int? = nil, activation: Activation = .identity,
        activatesLast: Bool = false, residual: UnsafePointer<Float>? = nil, residualStride: Int? = nil,
        groups: RowGroups? = nil
    ) throws(ComputeError) {
        var call = ck_multiplication(
            rows: Int64(rows), input: input, input_stride: Int64(inputStride ?? inputs), output: output,
            output_form: form.form, output_stride: Int64(outputStride ?? outputs), activation: activation.code,
            residual: residual, residual_stride: Int64(residualStride ?? outputs),
            activates_last: activatesLast ? 1 : 0, group: Int64(groups?.rows ?? 0),
            group_stride: Int64(groups?.stride ?? 0))
        try ComputeError.check(ck_matrix_multiply(handle, &call), "a product with \(outputs) x \(inputs)")
    }
}

extension Linear {
    /// Rows of an output that lie at their stride within a group only.
    struct RowGroups {
        /// The number of rows of a group.
        let rows: Int
        /// Numbers between the starts of neighbouring groups.
        let stride: Int
    }
}

extension Linear.Activation {
    /// The kernels' number for this activation.
    var code: ck_activation {
        switch self {
        case .identity: ck_identity
        case .gelu: ck_gelu
        case .relu: ck_relu
        }
    }
}

extension Precision {
    /// The kernels' number for this precision.
    var form: ck_precision { self == .bf16 ? ck_bf16 : ck_fp32 }
}

extension SafeTensors {
    /// Reads the linear layer with the tensors `name.weight`, `[outputs, inputs, 1...]`, and
    /// `name.bias`, `[outputs]`.
    ///
    /// - Parameters:
    ///   - name: the name of the layer in the checkpoint.
    ///   - inputs: the number of input channels.
    ///   - outputs: the number of output channels.
    ///   - ones: the number of axes of extent 1 behind the first two.
    ///   - bias: whether the layer has a bias.
    ///   - precision: the number format of the input rows.
    /// - Returns: the layer, packed.
    /// - Throws: `WeightFileError` or `ComputeError`.
    func linear(
        _ name: String, _ inputs: Int, _ outputs: Int, ones: Int = 0, bias: Bool = true, precision: Precision
    ) throws -> Linear {
        try Linear(
            weight: tensor("\(name).weight", shape: [outputs, inputs] + [Int](repeating: 1, count: ones)),
            bias: bias ? tensor("\(name).bias", shape: [outputs]) : nil, precision: precision)
    }
}

extension SafeTensors {
    /// One layer for two linear layers without an activation between them: the product of their matrices.
    ///
    /// - Parameters:
    ///   - first: the name of the layer that is applied first.
    ///   - second: the name of the layer behind it.
    ///   - inputs: the number of input channels.
    ///   - between: the number of channels between the layers.
    ///   - outputs: the number of output channels.
    ///   - ones: the number of axes of extent 1 behind the first two of the weights.
    ///   - precision: the number format of the input rows.
    /// - Returns: the layer, packed.
    /// - Throws: `WeightFileError` or `ComputeError`.
    func fused(
        _ first: String, _ second: String, inputs: Int, between: Int, outputs: Int, ones: Int = 0,
        precision: Precision
    ) throws -> Linear {
        let ones = [Int](repeating: 1, count: ones)
        let inner = try tensor("\(first).weight", shape: [between, inputs] + ones).values
        let innerBias = try tensor("\(first).bias", shape: [between]).values
        let outer = try tensor("\(second).weight", shape: [outputs, between] + ones).values
        let outerBias = try tensor("\(second).bias", shape: [outputs]).values
        var weight = [Float]()
        var bias = [Float]()
        for output in 0..<outputs {
            var sums = [Double](repeating: 0, count: inputs)
            var sum = Double(outerBias[output])
            for middle in 0..<between {
                let factor = Double(outer[output * between + middle])
                sum += factor * Double(innerBias[middle])
                for input in 0..<inputs { sums[input] += factor * Double(inner[middle * inputs + input]) }
            }
            weight += sums.map(Float.init)
            bias.append(Float(sum))
        }
        return try Linear(weight: weight, bias: bias, outputs: outputs, inputs: inputs, precision: precision)
    }
}

/// A multilayer perceptron: linear layers with ReLU between them, in fp32.
///
/// The reference calls it `MLP` (segment_anything/modeling/mask_decoder.py).
final class MLP {
    private let layers: [Linear]

    /// The number of output channels.
    var outputs: Int { layers[layers.count - 1].outputs }

    /// Reads the layers `name.layers.0`, `name.layers.1` and so on; their number follows from the
    /// checkpoint.
    init(_ weights: SafeTensors, _ name: String, inputs: Int, outputs: Int) throws {
        let depth = weights.count("\(name).layers.")
        guard (1...16).contains(depth) else { throw WeightFileError.missing("\(name).layers.0.weight") }
        var layers = [Linear]()
        for index in 0..<depth {
            let layer = "\(name).layers.\(index)"
            let width = index == depth - 1 ? outputs : try weights.shape("\(layer).weight", axes: 2)[0]
            layers.append(try weights.linear(layer, layers.last?.outputs ?? inputs, width, precision: .fp32))
        }
        self.layers = layers
    }

    /// Applies all layers to `rows` rows.
    ///
    /// - Parameters:
    ///   - rows: the number of rows.
    ///   - input: `[rows, inputs]`.
    ///   - stride: numbers between the starts of neighbouring input rows.
    ///   - output: `[rows, outputs]`.
    ///   - outputStride: numbers between the starts of neighbouring output rows.
    ///   - workspace: memory for the hidden layers.
    /// - Throws: `ComputeError`.
    func apply(
        rows: Int, _ input: UnsafePointer<Float>, stride: Int, to output: UnsafeMutablePointer<Float>,
        outputStride: Int, _ workspace: Workspace
    ) throws {
        var (source, sourceStride) = (input, stride)
        for (index, layer) in layers.enumerated() {
            let isLast = index == layers.count - 1
            let target = isLast ? output : workspace.floats("perceptron \(index % 2)", rows * layer.outputs)
            try layer.apply(
                rows: rows, source, inputStride: sourceStride, to: target,
                outputStride: isLast ? outputStride : layer.outputs, activation: isLast ? .identity : .relu)
            (source, sourceStride) = (UnsafePointer(target), layer.outputs)
        }
    }
}

/// Rounds `count` numbers to the nearest bf16.
func roundToBF16(_ input: UnsafePointer<Float>, count: Int, to output: UnsafeMutableRawPointer) {
    ck_to_bf16(Int64(count), input, output.assumingMemoryBound(to: UInt16.self))
}

/// Copies the patches that a convolution sees of a square image into rows for a linear layer.
///
/// - Parameters:
///   - input: `[size, size, channels]` in `inputForm`.
///   - inputForm: the number format of the image; bf16 needs rows of bf16.
///   - size: height and width of the image.
///   - channels: the number of channels.
///   - kernel: height and width of a patch.
///   - stride: the step between neighbouring patches.
///   - padding: zeros around the image.
///   - rows: `[patches, kernel, kernel, channels]` in `form`.
///   - form: the number format of the rows.
func gatherPatches(
    _ input: UnsafeRawPointer, _ inputForm: Precision = .fp32, size: Int, channels: Int, kernel: Int, stride: Int,
    padding: Int, to rows: UnsafeMutableRawPointer, _ form: Precision
) {
    precondition(inputForm == .fp32 || form == .bf16, "numbers are not widened")
    _ = ck_patches(
        1, Int64(size), Int64(size), Int64(channels), Int64(kernel), Int64(stride), Int64(padding), input,
        inputForm.form, rows, form.form)
}
