// SPDX-License-Identifier: Apache-2.0

import CKernels

/// A dense fp32 array.
///
/// Activations are `[batch, (depth,) height, width, channels]`, channels last.
public struct Tensor: Sendable, Hashable {
    /// The extents of the axes, each above 0.
    public let shape: [Int]
    /// The numbers in row-major order: the last axis is contiguous.
    public internal(set) var values: [Float]

    /// Creates a tensor; `values` has as many numbers as `shape` says.
    public init(shape: [Int], values: [Float]) {
        precondition(shape.allSatisfy { $0 > 0 }, "every axis of a tensor has extent")
        precondition(values.count == shape.reduce(1, *), "a tensor has as many values as its shape says")
        self.shape = shape
        self.values = values
    }

    /// Creates a tensor whose values `fill` writes; `fill` must write every one of them.
    init(shape: [Int], fill: (UnsafeMutablePointer<Float>) throws -> Void) rethrows {
        let count = shape.reduce(1, *)
        let values = try [Float](unsafeUninitializedCapacity: count) { buffer, filled in
            // A tensor has at least one value, so its buffer has an address.
            if let base = buffer.baseAddress { try fill(base) }
            filled = count
        }
        self.init(shape: shape, values: values)
    }

    /// Creates a tensor with a copy of the dense numbers at `source`.
    init(copying source: UnsafePointer<Float>, shape: [Int]) {
        self.init(shape: shape) { $0.update(from: source, count: shape.reduce(1, *)) }
    }

    /// The number of values.
    public var count: Int { values.count }
    /// The extents of the axes between batch and channels.
    public var size: [Int] { Array(shape.dropFirst().dropLast()) }
    /// The extent of the first axis.
    public var batch: Int { shape[0] }
    /// The extent of the last axis.
    public var channels: Int { shape[shape.count - 1] }

    /// The tensor with channels last, made from PyTorch's order `[batch, channels, ...]`.
    public func channelsLast() -> Tensor {
        Tensor(shape: [batch] + shape.dropFirst(2) + [shape[1]], values: transposed(rows: shape[1]))
    }

    /// The tensor in PyTorch's order `[batch, channels, ...]`, made from channels last.
    public func channelsFirst() -> Tensor {
        Tensor(shape: [batch, channels] + size, values: transposed(rows: count / batch / channels))
    }

    /// Transposes each image of the batch, which is taken as a matrix of `rows` rows.
    private func transposed(rows: Int) -> [Float] {
        let columns = count / batch / rows
        var turned = [Float](repeating: 0, count: count)
        for image in 0..<batch {
            let base = image * rows * columns
            for row in 0..<rows {
                for column in 0..<columns {
                    turned[base + column * rows + row] = values[base + row * columns + column]
                }
            }
        }
        return turned
    }
}

extension Tensor {
    /// Enlarges every axis between batch and channels by a whole factor with linear interpolation.
    ///
    /// The result is that of torch's `interpolate` with `align_corners=False`. The tensor has two
    /// or three such axes.
    ///
    /// - Parameter factor: new extent divided by old extent.
    /// - Returns: the enlarged tensor.
    /// - Throws: `ComputeError.outOfMemory`.
    public func upsampled(by factor: Int) throws(ComputeError) -> Tensor {
        let shape = enlargedShape(factor)
        var enlarged = Tensor(shape: shape, values: [Float](repeating: 0, count: shape.reduce(1, *)))
        try enlarged.enlarge(self, factor, adds: false)
        return enlarged
    }

    /// Adds `smaller`, enlarged by a whole factor as by `upsampled(by:)`, to this tensor.
    ///
    /// - Parameters:
    ///   - smaller: a tensor whose extents are those of this one divided by `factor`.
    ///   - factor: large extent divided by small extent.
    /// - Throws: `ComputeError.outOfMemory`.
    public mutating func addUpsampled(_ smaller: Tensor, by factor: Int) throws(ComputeError) {
        precondition(shape == smaller.enlargedShape(factor), "the enlarged tensor has this shape")
        try enlarge(smaller, factor, adds: true)
    }

    /// Replaces every value x by 1 / (1 + exp(-x)).
    public mutating func applySigmoid() {
        let count = Int64(count)
        values.withUnsafeMutableBufferPointer { ck_sigmoid(count, $0.baseAddress) }
    }

    private func enlargedShape(_ factor: Int) -> [Int] { [batch] + size.map { $0 * factor } + [channels] }

    private mutating func enlarge(_ input: Tensor, _ factor: Int, adds: Bool) throws(ComputeError) {
        let axes = input.size.count
        precondition(axes == 2 || axes == 3, "two or three axes")
        let extents = (axes == 2 ? [1] : []) + input.size.map(Int64.init)
        let status = values.withUnsafeMutableBufferPointer { output in
            ck_upsample(
                Int64(input.batch), extents[0], extents[1], extents[2], Int64(input.channels),
                axes == 2 ? 1 : Int32(factor), Int32(factor), input.values, output.baseAddress, adds ? 1 : 0)
        }
        try ComputeError.check(status, "enlarging to \(shape)")
    }
}
