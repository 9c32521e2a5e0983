// SPDX-License-Identifier: Apache-2.0

/// A dense fp32 array. Activations are `[batch, (depth,) height, width, channels]`, channels last.
public struct Tensor: Sendable, Hashable {
    public let shape: [Int]
    /// Row-major: the last axis is contiguous.
    public internal(set) var values: [Float]

    public init(shape: [Int], values: [Float]) {
        precondition(shape.allSatisfy { $0 > 0 }, "every axis of a tensor has extent")
        precondition(values.count == shape.reduce(1, *), "a tensor has as many values as its shape says")
        self.shape = shape
        self.values = values
    }

    /// A tensor whose values `fill` writes, every one of them.
    init(shape: [Int], fill: (UnsafeMutablePointer<Float>) throws -> Void) rethrows {
        let count = shape.reduce(1, *)
        let values = try [Float](unsafeUninitializedCapacity: count) { buffer, filled in
            // A tensor has at least one value, so its buffer has an address.
            if let base = buffer.baseAddress { try fill(base) }
            filled = count
        }
        self.init(shape: shape, values: values)
    }

    public var count: Int { values.count }
    /// Extents of the axes between batch and channels.
    public var size: [Int] { Array(shape.dropFirst().dropLast()) }
    public var batch: Int { shape[0] }
    public var channels: Int { shape[shape.count - 1] }

    /// Channels last from PyTorch's order `[batch, channels, ...]`.
    public func channelsLast() -> Tensor {
        Tensor(shape: [batch] + shape.dropFirst(2) + [shape[1]], values: transposed(rows: shape[1]))
    }

    /// PyTorch's order `[batch, channels, ...]` from channels last.
    public func channelsFirst() -> Tensor {
        Tensor(shape: [batch, channels] + size, values: transposed(rows: count / batch / channels))
    }

    /// Every image of the batch, taken as a matrix of `rows` rows, transposed.
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
