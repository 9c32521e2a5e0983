// SPDX-License-Identifier: Apache-2.0
//
// Resizing with a separable triangle filter and antialiasing: the same definition as training/recipes/resize.py,
// which equals torch's `interpolate(mode="bilinear", antialias=True, align_corners=False)` to float rounding.

internal import CKernels

/// The weights that resample one axis from `n` samples to `m`: a banded matrix `[m, n]`.
public struct ResamplingMatrix: Sendable {
    public let inputCount: Int
    public let outputCount: Int
    /// First input sample of each output sample, and how many follow it.
    let firsts: [Int32]
    let counts: [Int32]
    /// `[outputCount, stride]`.
    let weights: [Float]
    let stride: Int

    public init(from n: Int, to m: Int) {
        precondition(n > 0 && m > 0, "axes have extent")
        inputCount = n
        outputCount = m
        let scale = Double(n) / Double(m)
        let support = max(scale, 1)
        let stride = min(n, Int((2 * support).rounded(.up)) + 2)
        var firsts = [Int32]()
        var counts = [Int32]()
        var weights = [Float](repeating: 0, count: m * stride)
        for i in 0..<m {
            let centre = scale * (Double(i) + 0.5)
            let first = max(0, Int(centre - support + 0.5))
            let last = min(n, Int(centre + support + 0.5))
            let band = (first..<last).map { max(0, 1 - abs(Double($0) + 0.5 - centre) / support) }
            let sum = band.reduce(0, +)
            for (offset, weight) in band.enumerated() { weights[i * stride + offset] = Float(weight / sum) }
            firsts.append(Int32(first))
            counts.append(Int32(last - first))
        }
        self.firsts = firsts
        self.counts = counts
        self.weights = weights
        self.stride = stride
    }

    /// Row `i` in full, `[inputCount]`.
    public func row(_ i: Int) -> [Float] {
        var row = [Float](repeating: 0, count: inputCount)
        for offset in 0..<Int(counts[i]) { row[Int(firsts[i]) + offset] = weights[i * stride + offset] }
        return row
    }

    /// Resamples the middle axis of `[outer, inputCount, inner]`.
    func apply(outer: Int, inner: Int, _ input: [Float]) -> [Float] {
        precondition(input.count == outer * inputCount * inner, "the input fits the matrix")
        let count = outer * outputCount * inner
        return [Float](unsafeUninitializedCapacity: count) { output, filled in
            ck_resample(
                Int64(outer), Int64(inputCount), Int64(outputCount), Int64(inner), firsts, counts, weights,
                Int64(stride), input, output.baseAddress)
            filled = count
        }
    }

    /// Output sample `i` of the first axis of `[inputCount, inner]`: `[inner]`.
    func apply(row i: Int, inner: Int, _ input: [Float]) -> [Float] {
        [Float](unsafeUninitializedCapacity: inner) { output, filled in
            let row = Array(weights[i * stride..<(i + 1) * stride])
            ck_resample(
                1, Int64(inputCount), 1, Int64(inner), [firsts[i]], [counts[i]], row, Int64(stride), input,
                output.baseAddress)
            filled = inner
        }
    }
}

/// Resizes arrays whose last axes may be kept, such as colours.
public enum Resampling {
    /// Resamples the first `shape.count` axes of `[from..., kept]` to `[shape..., kept]`, the last of them first.
    public static func resize(_ values: [Float], from: [Int], to shape: [Int], kept: Int = 1) -> [Float] {
        precondition(from.count == shape.count && values.count == from.reduce(kept, *), "the shapes fit the values")
        var values = values
        var inner = kept
        for axis in shape.indices.reversed() {
            if from[axis] != shape[axis] {
                let outer = from[..<axis].reduce(1, *)
                values = ResamplingMatrix(from: from[axis], to: shape[axis]).apply(outer: outer, inner: inner, values)
            }
            inner *= shape[axis]
        }
        return values
    }

    /// As `resize`, but hands over one plane of the first axis after the other instead of keeping all of them.
    ///
    /// - Parameter plane: called with the plane's index and `[shape[1]..., kept]` values, in order.
    public static func resizeByPlane(
        _ values: [Float], from: [Int], to shape: [Int], kept: Int = 1, plane: (Int, [Float]) -> Void
    ) {
        let inner = shape.dropFirst().reduce(kept, *)
        let flat = resize(values, from: from, to: [from[0]] + shape.dropFirst(), kept: kept)
        let matrix = ResamplingMatrix(from: from[0], to: shape[0])
        for i in 0..<shape[0] { plane(i, matrix.apply(row: i, inner: inner, flat)) }
    }
}
