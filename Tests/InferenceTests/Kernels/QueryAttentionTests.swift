// SPDX-License-Identifier: Apache-2.0

import CKernels
import Foundation
import Inference
import Testing

extension InferenceSuites {
    /// Attention of queries that form a grid of their own, and the kernels around it: pooling and rotation.
    @Suite struct QueryAttentionTests {
        init() throws { try Compute.startWithAnyThreads() }

        struct Case {
            /// Height and width of the keys, and of the queries.
            var keys: (Int, Int)
            var queries: (Int, Int)
            /// Height and width of a window of keys and of queries; 0 means the whole grid.
            var window = 0
            var queryWindow = 0
            var heads = 1
            var size: Int
            /// The numbers of a value, if they are not `size`.
            var valueSize: Int?
            /// The numbers of all heads of a value.
            var valueWidth: Int { heads * (valueSize ?? size) }

            /// The tokens of the window that `query` attends to, with `nil` for padding.
            func keys(of query: Int) -> [Int?] {
                let (y, x) = (query / queries.1, query % queries.1)
                guard window > 0 else { return (0..<keys.0 * keys.1).map { $0 } }
                let (top, left) = (y / queryWindow * window, x / queryWindow * window)
                return (0..<window * window).map { place in
                    let (v, u) = (top + place / window, left + place % window)
                    return v < keys.0 && u < keys.1 ? v * keys.1 + u : nil
                }
            }
        }

        static let cases = [
            Case(keys: (1, 700), queries: (1, 37), size: 256),
            Case(keys: (1, 700), queries: (1, 37), size: 256, valueSize: 64),
            Case(keys: (9, 33), queries: (5, 8), heads: 2, size: 40, valueSize: 21),
            Case(keys: (1, 5), queries: (4, 4), size: 64),
            Case(keys: (8, 8), queries: (4, 4), window: 8, queryWindow: 4, heads: 2, size: 96),
            Case(keys: (10, 12), queries: (5, 6), window: 4, queryWindow: 2, heads: 2, size: 56),
            Case(keys: (10, 10), queries: (5, 5), window: 14, queryWindow: 7, size: 72),
        ]

        /// The attention in double precision, `[queries, heads * valueSize]`.
        static func expected(
            _ it: Case, q: [Float], k: [Float], v: [Float], padding: [Float]
        ) -> [Float] {
            let width = it.heads * it.size
            var output = [Float]()
            for query in 0..<it.queries.0 * it.queries.1 {
                for head in 0..<it.heads {
                    func part(_ values: [Float], _ token: Int?, _ index: Int) -> [Double] {
                        let (width, size) = index == 2 ? (it.valueWidth, it.valueSize ?? it.size) : (width, it.size)
                        let start = (token ?? index) * width + head * size
                        return (token == nil ? padding : values)[start..<start + size].map(Double.init)
                    }
                    let mine = part(q, query, 0)
                    let keys = it.keys(of: query)
                    let scores = keys.map { key in
                        zip(mine, part(k, key, 1)).reduce(0) { $0 + $1.0 * $1.1 } / Double(it.size).squareRoot()
                    }
                    let top = scores.max() ?? 0
                    let shares = scores.map { exp($0 - top) }
                    let total = shares.reduce(0, +)
                    var sum = [Double](repeating: 0, count: it.valueSize ?? it.size)
                    for (key, share) in zip(keys, shares) {
                        for (d, value) in part(v, key, 2).enumerated() { sum[d] += share / total * value }
                    }
                    output += sum.map(Float.init)
                }
            }
            return output
        }

        @Test func `queries of their own attend to the keys of their window on every path`() throws {
            let before = Compute.kernels
            defer { try? Compute.use(before) }
            for it in Self.cases {
                var drawing = Drawing(seed: it.size)
                let width = it.heads * it.size
                let q = drawing.values(it.queries.0 * it.queries.1 * width, scale: 2)
                let k = drawing.values(it.keys.0 * it.keys.1 * width, scale: 2)
                let v = drawing.values(it.keys.0 * it.keys.1 * it.valueWidth)
                let padding = it.valueSize == nil ? drawing.values(3 * width) : []
                let expected = Self.expected(it, q: q, k: k, v: v, padding: padding)
                for path in Compute.availableKernels {
                    try Compute.use(path)
                    for isInterleaved in it.valueSize == nil ? [false, true] : [false] {
                        let found = run(it, q, k, v, padding, isInterleaved: isInterleaved)
                        #expect(relativeError(found, expected) < 2e-5, "\(path) \(it)")
                        let short = runShort(it, q, k, v, padding, isInterleaved: isInterleaved)
                        #expect(relativeError(short, expected) < 2e-2, "\(path) \(it)")
                    }
                }
            }
        }

        /// Keys and values of their own, or those of a qkv whose queries are not used.
        private func interleaved(_ it: Case, _ k: [Float], _ v: [Float]) -> [Float] {
            let width = it.heads * it.size
            var rows = [Float]()
            for start in stride(from: 0, to: k.count, by: width) {
                rows += [Float](repeating: 9, count: width)
                rows += k[start..<start + width]
                rows += v[start..<start + width]
            }
            return rows
        }

        private func call(_ it: Case, _ form: ck_precision) -> ck_self_attention {
            var a = ck_self_attention()
            (a.batch, a.heads, a.head_size) = (1, Int64(it.heads), Int64(it.size))
            (a.height, a.width, a.window) = (Int64(it.keys.0), Int64(it.keys.1), Int64(it.window))
            (a.query_height, a.query_width) = (Int64(it.queries.0), Int64(it.queries.1))
            a.query_window = Int64(it.queryWindow)
            a.value_size = Int64(it.valueSize ?? 0)
            a.scale = 1 / Float(it.size).squareRoot()
            a.form = form
            return a
        }

        private func run(
            _ it: Case, _ q: [Float], _ k: [Float], _ v: [Float], _ padding: [Float], isInterleaved: Bool
        ) -> [Float] {
            attend(it, q, isInterleaved ? interleaved(it, k, v) : [], k, v, padding, ck_fp32, empty: Float.nan)
        }

        private func runShort(
            _ it: Case, _ q: [Float], _ k: [Float], _ v: [Float], _ padding: [Float], isInterleaved: Bool
        ) -> [Float] {
            let all = isInterleaved ? rounded(interleaved(it, k, v)) : []
            return widened(attend(it, rounded(q), all, rounded(k), rounded(v), padding, ck_bf16, empty: 0xffff))
        }

        private func attend<Number>(
            _ it: Case, _ q: [Number], _ qkv: [Number], _ k: [Number], _ v: [Number], _ padding: [Float],
            _ form: ck_precision, empty: Number
        ) -> [Number] {
            var a = call(it, form)
            var output = [Number](repeating: empty, count: it.queries.0 * it.queries.1 * it.valueWidth)
            let status = q.withUnsafeBytes { q in
                qkv.withUnsafeBytes { qkv in
                    k.withUnsafeBytes { k in
                        v.withUnsafeBytes { v in
                            padding.withUnsafeBufferPointer { padding in
                                output.withUnsafeMutableBytes { output in
                                    a.query = q.baseAddress
                                    if qkv.isEmpty {
                                        (a.key, a.value) = (k.baseAddress, v.baseAddress)
                                    } else {
                                        a.qkv = qkv.baseAddress
                                    }
                                    if it.valueSize == nil { a.padding = padding.baseAddress }
                                    a.output = output.baseAddress
                                    return ck_attend(&a)
                                }
                            }
                        }
                    }
                }
            }
            #expect(status == ck_ok)
            return output
        }

        @Test func `queries without as many windows as the keys, and keys without values, are refused`() {
            var a = call(Case(keys: (8, 8), queries: (4, 4), window: 4, queryWindow: 4, size: 16), ck_fp32)
            [Float(0)].withUnsafeBytes { memory in
                (a.query, a.key, a.value) = (memory.baseAddress, memory.baseAddress, memory.baseAddress)
                #expect(ck_attend(&a) == ck_bad_argument)
                a.query_window = 0
                #expect(ck_attend(&a) == ck_bad_argument)
                (a.query_window, a.value_size) = (2, 257)
                #expect(ck_attend(&a) == ck_bad_argument)
                (a.value_size, a.padding) = (8, memory.baseAddress?.assumingMemoryBound(to: Float.self))
                #expect(ck_attend(&a) == ck_bad_argument)
                (a.padding, a.value_size, a.value) = (nil, 0, nil)
                #expect(ck_attend(&a) == ck_bad_argument)
                (a.key, a.value) = (nil, nil)
                #expect(ck_attend(&a) == ck_bad_argument)
            }
        }

        @Test func `pooling takes the largest of four places, from every third row too`() {
            var drawing = Drawing(seed: 5)
            let (height, width, channels) = (4, 6, 5)
            let rows = drawing.values(height * width * 3 * channels)
            var expected = [Float]()
            for y in 0..<height / 2 {
                for x in 0..<width / 2 {
                    for c in 0..<channels {
                        let four = [(0, 0), (0, 1), (1, 0), (1, 1)].map { dy, dx in
                            rows[((2 * y + dy) * width + 2 * x + dx) * 3 * channels + c]
                        }
                        expected.append(four.max() ?? 0)
                    }
                }
            }
            var found = [Float](repeating: .nan, count: expected.count)
            ck_max_pool(4, 6, 5, rows, 15, &found, ck_fp32)
            #expect(found == expected)
            var short = [UInt16](repeating: 0, count: expected.count)
            ck_max_pool(4, 6, 5, rounded(rows), 15, &short, ck_bf16)
            #expect(short == rounded(expected))
        }

        @Test func `rotation turns pairs of channels and repeats its table`() {
            let rows: [Float] = [1, 0, 0, 2, 3, 4, 1, 1]
            // Two rows of the table: a quarter turn and none, then a half turn and a quarter turn backwards.
            let (cosines, sines): ([Float], [Float]) = ([0, 1, -1, 0], [1, 0, 0, -1])
            var found = [Float](repeating: .nan, count: 8)
            ck_rotate(2, 4, 2, rows, cosines, sines, &found, ck_fp32)
            #expect(found == [0, 1, 0, 2, -3, -4, 1, -1])
            ck_rotate(2, 4, 1, rows, cosines, sines, &found, ck_fp32)
            #expect(found == [0, 1, 0, 2, -4, 3, 1, 1])
            var short = [UInt16](repeating: 0, count: 8)
            ck_rotate(2, 4, 2, rows, cosines, sines, &short, ck_bf16)
            #expect(widened(short) == [0, 1, 0, 2, -3, -4, 1, -1])
        }

        @Test func `a depthwise convolution of 7 x 7 sees three places on every side`() {
            var drawing = Drawing(seed: 6)
            let (side, channels) = (9, 4)
            let x = drawing.values(side * side * channels)
            let weight = drawing.values(49 * channels)
            let bias = drawing.values(channels)
            var expected = [Float]()
            for place in 0..<side * side {
                for channel in 0..<channels {
                    var sum = Double(bias[channel])
                    for tap in 0..<49 {
                        let (y, u) = (place / side + tap / 7 - 3, place % side + tap % 7 - 3)
                        guard (0..<side).contains(y), (0..<side).contains(u) else { continue }
                        sum +=
                            Double(x[(y * side + u) * channels + channel]) * Double(weight[tap * channels + channel])
                    }
                    expected.append(Float(sum))
                }
            }
            var found = [Float](repeating: .nan, count: expected.count)
            ck_depthwise(1, 9, 9, 4, 7, 1, x, weight, bias, ck_identity, &found)
            #expect(relativeError(found, expected) < 1e-6)
        }
    }
}
