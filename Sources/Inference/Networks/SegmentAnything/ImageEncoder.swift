// SPDX-License-Identifier: Apache-2.0

/// From the network's input to the image embedding.
protocol ImageEncoder: AnyObject {
    /// Height and width of the input.
    var inputSize: Int { get }
    /// Height and width of the embedding.
    var embeddingSize: Int { get }
    /// Of the embedding.
    var channels: Int { get }

    /// - Parameters:
    ///   - input: `[inputSize, inputSize, 3]`.
    ///   - output: `[embeddingSize, embeddingSize, channels]`.
    ///   - onStage: called with every stage's name in the reference and its output, channels last.
    func embed(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, _ stopwatch: Stopwatch,
        onStage: ((String, Tensor) -> Void)?
    ) throws
}

extension SafeTensors {
    /// One more than the largest number that follows `prefix` in a tensor's name; so that a gap is missed, not skipped.
    func count(_ prefix: String) -> Int {
        let numbers = names.lazy.filter { $0.hasPrefix(prefix) }.compactMap {
            Int($0.dropFirst(prefix.count).prefix { $0 != "." })
        }
        return (numbers.max() ?? -1) + 1
    }

    /// The shape of a tensor that must be there, with this many axes.
    func shape(_ name: String, axes: Int) throws(WeightFileError) -> [Int] {
        guard let found = shape(of: name) else { throw .missing(name) }
        guard found.count == axes else {
            throw .tensor(name, reason: "it has \(found.count) axes, \(axes) are expected")
        }
        return found
    }

    /// `name.weight` `[outputs, inputs, ones...]` and, where asked for, `name.bias`.
    func linear(
        _ name: String, _ inputs: Int, _ outputs: Int, ones: Int = 0, bias: Bool = true, precision: Precision
    ) throws -> Linear {
        try Linear(
            weight: tensor("\(name).weight", shape: [outputs, inputs] + [Int](repeating: 1, count: ones)),
            bias: bias ? tensor("\(name).bias", shape: [outputs]) : nil, precision: precision)
    }

    func layerNorm(_ name: String, _ channels: Int, epsilon: Float) throws(WeightFileError) -> LayerNorm {
        LayerNorm(
            weight: try tensor("\(name).weight", shape: [channels]),
            bias: try tensor("\(name).bias", shape: [channels]),
            epsilon: epsilon)
    }
}

extension Tensor {
    /// A copy of dense numbers in memory.
    init(copying source: UnsafePointer<Float>, shape: [Int]) {
        self.init(shape: shape) { $0.update(from: source, count: shape.reduce(1, *)) }
    }
}
