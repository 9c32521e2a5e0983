// SPDX-License-Identifier: Apache-2.0

import CKernels
import Foundation
import Inference
import Testing

extension InferenceSuites {
    /// Compares each layer with its definition, computed in double precision.
    @Suite struct TransformerLayerTests {
        init() throws { try Compute.startWithAnyThreads() }

        @Test(arguments: [1, 3, 4, 8, 37, 768]) func `layer norm takes mean and variance of a row`(channels: Int) {
            var drawing = Drawing(seed: channels)
            let (rows, stride) = (5, channels + 2)
            let x = drawing.values(rows * stride, scale: 3)
            let (weight, bias) = (drawing.values(channels), drawing.values(channels))
            var expected: [Float] = []
            for row in 0..<rows {
                let values = x[row * stride..<row * stride + channels].map(Double.init)
                let mean = values.reduce(0, +) / Double(channels)
                let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(channels)
                expected += zip(values, zip(weight, bias)).map {
                    Float(($0 - mean) / (variance + 1e-6).squareRoot() * Double($1.0) + Double($1.1))
                }
            }
            var found = [Float](repeating: .nan, count: rows * channels)
            ck_layer_norm(
                Int64(rows), Int64(channels), x, Int64(stride), weight, bias, 1e-6, ck_identity, &found, ck_fp32,
                Int64(channels))
            #expect(relativeError(found, expected) < 1e-6)
            for activation in [ck_identity, ck_gelu, ck_relu] {
                let active = expected.map { value -> Float in
                    switch activation {
                    case ck_gelu: Float(Double(value) / 2 * (1 + erf(Double(value) / 2.0.squareRoot())))
                    case ck_relu: max(value, 0)
                    default: value
                    }
                }
                ck_layer_norm(
                    Int64(rows), Int64(channels), x, Int64(stride), weight, bias, 1e-6, activation, &found, ck_fp32,
                    Int64(channels))
                // GELU is known up to an absolute error.
                #expect(zip(found, active).allSatisfy { abs($0 - $1) < 2e-6 * max(1, abs($1)) })
                var half = [UInt16](repeating: 0xffff, count: rows * channels)
                ck_layer_norm(
                    Int64(rows), Int64(channels), x, Int64(stride), weight, bias, 1e-6, activation, &half, ck_bf16,
                    Int64(channels))
                #expect(half == rounded(found))
            }
        }

        @Test func `a scaled sigmoid rises from its shift to its scale above it`() {
            var x = stride(from: Float(-100), through: 100, by: 0.037).map(\.self) + [-.infinity, .infinity, -0.0]
            let expected = x.map { 20 / (1 + exp(-Double($0))) - 10 }
            ck_scaled_sigmoid(Int64(x.count), &x, 20, -10)
            #expect(zip(x, expected).allSatisfy { abs(Double($0) - $1) < 3e-6 })
            var nothing: [Float] = [.nan]
            ck_scaled_sigmoid(1, &nothing, 20, -10)
            #expect(nothing[0].isNaN)
        }

        @Test(arguments: [(8, 4), (34, 4), (70, 5)])
        func `a mask's first downsampling is a convolution, a norm and GELU`(width: Int, channels: Int) {
            var drawing = Drawing(seed: width)
            let height = 6
            let mask = drawing.values(height * width, scale: 10)
            let (weight, bias) = (drawing.values(9 * channels), drawing.values(channels))
            let (scale, shift) = (drawing.values(channels), drawing.values(channels))
            var expected: [Float] = []
            for place in 0..<height * width / 4 {
                let sums = (0..<channels).map { channel in
                    (0..<9).reduce(Double(bias[channel])) { sum, tap in
                        let (y, x) = (2 * (place / (width / 2)) + tap / 3 - 1, 2 * (place % (width / 2)) + tap % 3 - 1)
                        guard y >= 0, x >= 0 else { return sum }
                        return sum + Double(mask[y * width + x]) * Double(weight[channel * 9 + tap])
                    }
                }
                let mean = sums.reduce(0, +) / Double(channels)
                let variance = sums.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(channels)
                expected += (0..<channels).map { channel in
                    let normed = (sums[channel] - mean) / (variance + 1e-6).squareRoot()
                    let y = normed * Double(scale[channel]) + Double(shift[channel])
                    return Float(y / 2 * (1 + erf(y / 2.0.squareRoot())))
                }
            }
            var found = [Float](repeating: .nan, count: expected.count)
            let status = ck_downsample_mask(
                Int64(height), Int64(width), Int64(channels), mask, weight, bias, scale, shift, 1e-6, &found, ck_fp32)
            #expect(status == ck_ok)
            #expect(relativeError(found, expected) < 2e-6)
            var halves = [UInt16](repeating: 0xffff, count: expected.count)
            #expect(
                ck_downsample_mask(
                    Int64(height), Int64(width), Int64(channels), mask, weight, bias, scale, shift, 1e-6, &halves,
                    ck_bf16) == ck_ok)
            #expect(halves == rounded(found))
        }

        @Test func `a mask of odd size or too many channels are refused`() {
            var output = [Float](repeating: 0, count: 65)
            for (height, width, channels) in [(3, 2, 1), (2, 3, 1), (0, 2, 1), (2, 2, 0), (2, 2, 65)] {
                let zeros = [Float](repeating: 0, count: 9 * 65)
                #expect(
                    ck_downsample_mask(
                        Int64(height), Int64(width), Int64(channels), zeros, zeros, zeros, zeros, zeros, 1e-6, &output,
                        ck_fp32) == ck_bad_argument)
            }
        }

        @Test func `queries attend to keys that all of a batch may share`() {
            var drawing = Drawing(seed: 1)
            let (batch, queries, keys, heads, size) = (3, 5, 67, 2, 16)
            let width = heads * size
            let q = drawing.values(batch * queries * width, scale: 2)
            let (k, v) = (drawing.values(keys * width, scale: 2), drawing.values(batch * keys * width))
            var expected: [Float] = []
            for row in 0..<batch * queries {
                for head in 0..<heads {
                    func dot(_ key: Int) -> Double {
                        (0..<size).reduce(0) {
                            $0 + Double(q[row * width + head * size + $1]) * Double(k[key * width + head * size + $1])
                        }
                    }
                    let shares = (0..<keys).map { exp(dot($0) * 0.25) }
                    let total = shares.reduce(0, +)
                    for d in head * size..<(head + 1) * size {
                        let values = (0..<keys).map { Double(v[(row / queries * keys + $0) * width + d]) }
                        expected.append(Float(zip(shares, values).reduce(0) { $0 + $1.0 * $1.1 } / total))
                    }
                }
            }
            var found = [Float](repeating: .nan, count: expected.count)
            let status = q.withUnsafeBufferPointer { q in
                k.withUnsafeBufferPointer { k in
                    v.withUnsafeBufferPointer { v in
                        found.withUnsafeMutableBufferPointer { found in
                            var a = ck_cross_attention()
                            (a.batch, a.queries, a.keys) = (Int64(batch), Int64(queries), Int64(keys))
                            (a.heads, a.head_size, a.scale) = (Int64(heads), Int64(size), 0.25)
                            (a.query, a.key, a.value) = (q.baseAddress, k.baseAddress, v.baseAddress)
                            (a.query_stride, a.key_stride, a.value_stride) = (Int64(width), Int64(width), Int64(width))
                            a.query_batch_stride = Int64(queries * width)
                            a.value_batch_stride = Int64(keys * width)
                            a.output = found.baseAddress
                            return ck_cross_attend(&a)
                        }
                    }
                }
            }
            #expect(status == ck_ok)
            #expect(relativeError(found, expected) < 2e-6)
        }

        @Test(arguments: [1, 2], [(6, 11), (6, 16), (23, 27)])
        func `a depthwise convolution weights the nine neighbours`(stride: Int, size: (width: Int, channels: Int)) {
            var drawing = Drawing(seed: stride)
            let (height, width, channels) = (5, size.width, size.channels)
            let x = drawing.values(height * width * channels)
            let (weight, bias) = (drawing.values(9 * channels), drawing.values(channels))
            let (rows, columns) = ((height - 1) / stride + 1, (width - 1) / stride + 1)
            var expected: [Float] = []
            for row in 0..<rows {
                for column in 0..<columns {
                    for channel in 0..<channels {
                        var sum = Double(bias[channel])
                        for tap in 0..<9 {
                            let (y, u) = (row * stride + tap / 3 - 1, column * stride + tap % 3 - 1)
                            guard (0..<height).contains(y), (0..<width).contains(u) else { continue }
                            sum +=
                                Double(x[(y * width + u) * channels + channel])
                                * Double(weight[tap * channels + channel])
                        }
                        expected.append(Float(max(sum, 0)))
                    }
                }
            }
            var found = [Float](repeating: .nan, count: expected.count)
            ck_depthwise(
                1, Int64(height), Int64(width), Int64(channels), 3, Int64(stride), x, weight, bias, ck_relu, &found)
            #expect(relativeError(found, expected) < 1e-6)
        }

        @Test func `patches hold the pixels of a kernel`() {
            let image: [Float] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
            var patches = [Float](repeating: .nan, count: 2 * 2 * 9)
            #expect(ck_patches(1, 3, 3, 1, 3, 2, 1, image, ck_fp32, &patches, ck_fp32) == ck_ok)
            #expect(Array(patches[0..<9]) == [0, 0, 0, 0, 1, 2, 0, 4, 5])
            #expect(Array(patches[27..<36]) == [5, 6, 0, 8, 9, 0, 0, 0, 0])
            var halves = [UInt16](repeating: 1, count: 36)
            #expect(ck_patches(1, 3, 3, 1, 3, 2, 1, image, ck_fp32, &halves, ck_bf16) == ck_ok)
            #expect(widened(halves) == patches)
            halves = [UInt16](repeating: 1, count: 36)
            #expect(ck_patches(1, 3, 3, 1, 3, 2, 1, rounded(image), ck_bf16, &halves, ck_bf16) == ck_ok)
            #expect(widened(halves) == patches)
            #expect(ck_patches(1, 3, 3, 1, 3, 2, 1, rounded(image), ck_bf16, &patches, ck_fp32) == ck_bad_argument)
        }

        @Test func `patches of several channels are zero outside the image`() {
            var drawing = Drawing(seed: 8)
            let (height, width, channels, kernel) = (9, 7, 3, 7)
            let image = drawing.values(height * width * channels)
            var expected = [Float]()
            for top in [-3, 1, 5] {
                for left in [-3, 1] {
                    for tap in 0..<kernel * kernel {
                        let (y, x) = (top + tap / kernel, left + tap % kernel)
                        let isInside = (0..<height).contains(y) && (0..<width).contains(x)
                        for c in 0..<channels {
                            expected.append(isInside ? image[(y * width + x) * channels + c] : 0)
                        }
                    }
                }
            }
            var found = [Float](repeating: .nan, count: expected.count)
            #expect(ck_patches(1, 9, 7, 3, 7, 4, 3, image, ck_fp32, &found, ck_fp32) == ck_ok)
            #expect(found == expected)
            var halves = [UInt16](repeating: 1, count: expected.count)
            #expect(ck_patches(1, 9, 7, 3, 7, 4, 3, image, ck_fp32, &halves, ck_bf16) == ck_ok)
            #expect(halves == rounded(expected))
            halves = [UInt16](repeating: 1, count: expected.count)
            #expect(ck_patches(1, 9, 7, 3, 7, 4, 3, rounded(image), ck_bf16, &halves, ck_bf16) == ck_ok)
            #expect(halves == rounded(expected))
        }

        @Test func `rows are weighed by a few vectors, and images share what is added`() {
            var drawing = Drawing(seed: 3)
            let (rows, k, count) = (19, 32, 4)
            let (x, vectors) = (drawing.values(rows * k), drawing.values(count * k))
            var found = [Float](repeating: .nan, count: count * rows)
            ck_dot_rows(Int64(rows), Int64(k), Int64(count), x, vectors, &found)
            let expected = (0..<count * rows).map { place in
                Float(
                    (0..<k).reduce(0.0) {
                        $0 + Double(x[place % rows * k + $1]) * Double(vectors[place / rows * k + $1])
                    })
            }
            #expect(relativeError(found, expected) < 1e-6)
            var sums: [Float] = [1, 2, 3, 4]
            sums.withUnsafeMutableBufferPointer { ck_add(2, 2, $0.baseAddress, [10, 20], 0, $0.baseAddress) }
            #expect(sums == [11, 22, 13, 24])
        }
    }
}
