// SPDX-License-Identifier: Apache-2.0
//
// Resizing of arrays, axis by axis, with banded matrices.
//
// `ResamplingMatrix` is a triangle filter with antialiasing. It has the definition of
// training/recipes/resize.py, which equals torch's `interpolate(mode="bilinear", antialias=True,
// align_corners=False)` to float rounding. `BilinearMatrix` is the interpolation without
// antialiasing.

import CKernels

/// The weights that resample one axis: a banded matrix `[outputCount, inputCount]`, with
/// antialiasing.
public struct ResamplingMatrix: Sendable {
    /// The number of samples before resampling.
    public let inputCount: Int
    /// The number of samples after resampling.
    public let outputCount: Int
    /// The first input sample of each output sample.
    let firsts: [Int32]
    /// The number of input samples of each output sample.
    let counts: [Int32]
    /// The weights of the input samples, `[outputCount, stride]`.
    let weights: [Float]
    let stride: Int

    /// Creates the matrix that resamples `n` samples to `m`.
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

    /// Row `i` of the matrix, `[inputCount]`.
    public func row(_ i: Int) -> [Float] {
        var row = [Float](repeating: 0, count: inputCount)
        for offset in 0..<Int(counts[i]) { row[Int(firsts[i]) + offset] = weights[i * stride + offset] }
        return row
    }

    /// Resamples the middle axis of `[outer, inputCount, inner]`; the result is `[outer, outputCount, inner]`.
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

    /// Resamples the first axis of bytes `[inputCount, inner]`; the result is `[outputCount, inner]`.
    func apply(inner: Int, bytes: [UInt8]) -> [Float] {
        precondition(bytes.count == inputCount * inner, "the input fits the matrix")
        let count = outputCount * inner
        return [Float](unsafeUninitializedCapacity: count) { output, filled in
            ck_resample_bytes(
                Int64(inputCount), Int64(outputCount), Int64(inner), firsts, counts, weights, Int64(stride), bytes,
                output.baseAddress)
            filled = count
        }
    }

    /// Output sample `i` of the first axis of `[inputCount, inner]`, `[inner]`.
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

/// Resizing of dense arrays with antialiasing.
public enum Resampling {
    /// Resamples the first axes of a dense array, the last of them first.
    ///
    /// - Parameters:
    ///   - values: `[from..., kept]`.
    ///   - from: the extents before resampling.
    ///   - shape: the extents after resampling.
    ///   - kept: the extent of the last axis, which stays as it is, such as 3 for colours.
    /// - Returns: `[shape..., kept]`.
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

    /// Resamples the two axes of a picture of bytes, the first of them first.
    ///
    /// The rows are mixed before the columns, because that reads each byte once and leaves little for the columns.
    /// Therefore the result may differ from that of `resize` in the last bits.
    ///
    /// - Parameters:
    ///   - bytes: `[from[0], from[1], kept]`.
    ///   - from: rows and columns before resampling.
    ///   - shape: rows and columns after resampling.
    ///   - kept: the number of channels.
    /// - Returns: `[shape[0], shape[1], kept]`.
    public static func resize(bytes: [UInt8], from: [Int], to shape: [Int], kept: Int) -> [Float] {
        precondition(from.count == 2 && shape.count == 2 && bytes.count == from[0] * from[1] * kept, "a picture")
        let lines = ResamplingMatrix(from: from[0], to: shape[0]).apply(inner: from[1] * kept, bytes: bytes)
        guard from[1] != shape[1] else { return lines }
        return ResamplingMatrix(from: from[1], to: shape[1]).apply(outer: shape[0], inner: kept, lines)
    }

    /// Resizes as `resize` does, but passes on one plane of the first axis at a time.
    ///
    /// Only one plane of the result is in memory at any time.
    ///
    /// - Parameters:
    ///   - values: `[from..., kept]`.
    ///   - from: the extents before resampling.
    ///   - shape: the extents after resampling.
    ///   - kept: the extent of the last axis, which stays as it is.
    ///   - plane: receives the index of the plane and its `[shape[1]..., kept]` values, in order.
    public static func resizeByPlane(
        _ values: [Float], from: [Int], to shape: [Int], kept: Int = 1, plane: (Int, [Float]) -> Void
    ) {
        let inner = shape.dropFirst().reduce(kept, *)
        let flat = resize(values, from: from, to: [from[0]] + shape.dropFirst(), kept: kept)
        let matrix = ResamplingMatrix(from: from[0], to: shape[0])
        for i in 0..<shape[0] { plane(i, matrix.apply(row: i, inner: inner, flat)) }
    }
}

/// A banded matrix for torch's bilinear `interpolate` along one axis, without antialiasing
/// (`align_corners=False`).
///
/// Output i is the weighted sum of `counts[i]` samples from sample `firsts[i]` on. Several
/// interpolations in a row are one matrix.
struct BilinearMatrix {
    let inputCount: Int
    private var firsts: [Int32]
    private var counts: [Int32]
    private var weights: [[Float]]

    /// Creates the interpolation of `from` samples to `to`.
    init(from: Int, to: Int) {
        inputCount = from
        (firsts, counts, weights) = ([], [], [])
        // torch computes the sample positions in fp32.
        let scale = Float(from) / Float(to)
        for i in 0..<to {
            let place = from == to ? Float(i) : max(0, scale * (Float(i) + 0.5) - 0.5)
            let first = min(Int(place), from - 1)
            let share = min(max(place - Float(first), 0), 1)
            let alone = first == from - 1 || share == 0
            firsts.append(Int32(first))
            counts.append(alone ? 1 : 2)
            weights.append(alone ? [1] : [1 - share, share])
        }
    }

    /// The number of samples after the interpolation.
    var outputCount: Int { firsts.count }

    /// The matrix of the first `count` outputs.
    func cropped(to count: Int) -> BilinearMatrix {
        var part = self
        part.firsts = Array(firsts.prefix(count))
        part.counts = Array(counts.prefix(count))
        part.weights = Array(weights.prefix(count))
        return part
    }

    /// The matrix that applies this one first and then `next`.
    func followed(by next: BilinearMatrix) -> BilinearMatrix {
        precondition(next.inputCount == outputCount, "the matrices fit")
        var product = self
        (product.firsts, product.counts, product.weights) = ([], [], [])
        for i in 0..<next.outputCount {
            let samples = Int(next.firsts[i])..<Int(next.firsts[i] + next.counts[i])
            let first = samples.map { firsts[$0] }.min() ?? 0
            let end = samples.map { firsts[$0] + counts[$0] }.max() ?? 0
            var row = [Float](repeating: 0, count: Int(end - first))
            for (sample, share) in zip(samples, next.weights[i]) {
                for (offset, weight) in weights[sample].enumerated() {
                    row[Int(firsts[sample] - first) + offset] += share * weight
                }
            }
            product.firsts.append(first)
            product.counts.append(end - first)
            product.weights.append(row)
        }
        return product
    }

    /// Resamples the middle axis of `[outer, inputCount, inner]` to `[outer, outputCount, inner]`.
    func apply(outer: Int, inner: Int, _ input: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>?) {
        let stride = weights.map(\.count).max() ?? 1
        let flat = weights.flatMap { $0 + [Float](repeating: 0, count: stride - $0.count) }
        ck_resample(
            Int64(outer), Int64(inputCount), Int64(outputCount), Int64(inner), firsts, counts, flat,
            Int64(stride), input, output)
    }
}
