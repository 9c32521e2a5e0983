// SPDX-License-Identifier: Apache-2.0

internal import CKernels

extension Tensor {
    /// Linear enlargement by a whole factor on every axis, as torch's `interpolate` with `align_corners=False`.
    public func upsampled(by factor: Int) throws(ComputeError) -> Tensor {
        let shape = enlargedShape(factor)
        var enlarged = Tensor(shape: shape, values: [Float](repeating: 0, count: shape.reduce(1, *)))
        try enlarged.enlarge(self, factor, adds: false)
        return enlarged
    }

    /// Adds `smaller`, enlarged by a whole factor, to this tensor.
    public mutating func addUpsampled(_ smaller: Tensor, by factor: Int) throws(ComputeError) {
        precondition(shape == smaller.enlargedShape(factor), "the enlarged tensor has this shape")
        try enlarge(smaller, factor, adds: true)
    }

    public mutating func applySigmoid() {
        let count = Int64(count)
        values.withUnsafeMutableBufferPointer { ck_sigmoid(count, $0.baseAddress) }
    }

    public mutating func applyLeakyReLU(negativeSlope: Float) {
        let count = Int64(count)
        values.withUnsafeMutableBufferPointer { ck_leaky_relu(count, negativeSlope, $0.baseAddress) }
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
