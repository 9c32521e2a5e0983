// SPDX-License-Identifier: Apache-2.0

import CKernels
import Inference
import Testing

extension InferenceSuites {
    /// Compares every path that this processor can run, also the emulated ones, with the plain
    /// path.
    @Suite struct SelfAttentionTests {
        init() throws { try Compute.startWithAnyThreads() }

        enum Positions { case none, relative, table }

        struct Case {
            var batch = 1
            var height: Int
            var width: Int
            var window = 0
            var heads = 2
            var size: Int
            var positions = Positions.relative
        }

        func run(_ path: KernelPath, _ form: ck_precision, _ it: Case, padding factor: Float = 1) throws -> [Float] {
            var drawing = Drawing(seed: it.height * 100 + it.width + it.size)
            let channels = it.heads * it.size
            let (tall, wide) = it.window > 0 ? (it.window, it.window) : (it.height, it.width)
            let qkv = drawing.values(it.batch * it.height * it.width * 3 * channels, scale: 2)
            let padding = drawing.values(3 * channels, scale: factor)
            let relHeight = drawing.values((2 * tall - 1) * it.size, scale: 0.5)
            let relWidth = drawing.values((2 * wide - 1) * it.size, scale: 0.5)
            let table =
                it.positions == .table ? drawing.values(it.heads * tall * wide * tall * wide, scale: 2) : []
            let halves = rounded(qkv)
            let count = it.batch * it.height * it.width * channels
            var output = [Float](repeating: .nan, count: count)
            var half = [UInt16](repeating: 0xffff, count: count)
            try Compute.use(path)
            let status = qkv.withUnsafeBytes { full in
                halves.withUnsafeBytes { short in
                    padding.withUnsafeBufferPointer { padding in
                        relHeight.withUnsafeBufferPointer { relHeight in
                            relWidth.withUnsafeBufferPointer { relWidth in
                                table.withUnsafeBufferPointer { table in
                                    output.withUnsafeMutableBytes { output in
                                        half.withUnsafeMutableBytes { half in
                                            var a = ck_self_attention()
                                            a.batch = Int64(it.batch)
                                            a.height = Int64(it.height)
                                            a.width = Int64(it.width)
                                            a.window = Int64(it.window)
                                            a.heads = Int64(it.heads)
                                            a.head_size = Int64(it.size)
                                            a.form = form
                                            a.qkv = (form == ck_bf16 ? short : full).baseAddress
                                            a.padding = padding.baseAddress
                                            a.scale = 1 / Float(it.size).squareRoot()
                                            if it.positions == .relative {
                                                a.rel_height = relHeight.baseAddress
                                                a.rel_width = relWidth.baseAddress
                                            }
                                            if it.positions == .table { a.bias = table.baseAddress }
                                            a.output = (form == ck_bf16 ? half : output).baseAddress
                                            return ck_attend(&a)
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            #expect(status == ck_ok)
            return form == ck_bf16 ? widened(half) : output
        }

        private func compare(_ it: Case) throws {
            let before = Compute.kernels
            defer { try? Compute.use(before) }
            for form in [ck_fp32, ck_bf16] {
                let expected = try run(.plain, form, it)
                for path in Compute.availableKernels where path != .plain {
                    // In bf16, shares, positions and output have 8 bits: errors of 2^-9 each.
                    let tolerance = form == ck_bf16 ? 1e-2 : 5e-6
                    #expect(relativeError(try run(path, form, it), expected) < tolerance, "\(path) \(form) \(it)")
                }
            }
        }

        @Test(arguments: [16, 32, 64, 80, 5]) func `heads of any size attend over grids and windows`(size: Int) throws {
            try compare(Case(height: 9, width: 7, size: size))
            try compare(Case(height: 10, width: 16, window: 7, size: size))
            try compare(Case(batch: 2, height: 16, width: 14, window: 14, heads: 1, size: size))
            try compare(Case(height: 9, width: 9, window: 7, size: size, positions: .table))
            try compare(Case(height: 8, width: 8, window: 4, size: size, positions: .none))
        }

        @Test func `more keys than fit the cache are taken block by block`() throws {
            try compare(Case(height: 16, width: 20, heads: 1, size: 32))
            try compare(Case(height: 2, width: 300, heads: 1, size: 16))
            try compare(Case(height: 1, width: 1, size: 16))
        }

        @Test func `tokens outside the grid are attended to`() throws {
            let it = Case(height: 9, width: 9, window: 7, size: 16)
            let before = Compute.kernels
            defer { try? Compute.use(before) }
            for path in Compute.availableKernels {
                let with = try run(path, ck_fp32, it)
                let without = try run(path, ck_fp32, it, padding: 0)
                // The first window lies inside the grid, the last one does not.
                #expect(Array(with[0..<32]) == Array(without[0..<32]), "\(path)")
                #expect(Array(with[80 * 32..<81 * 32]) != Array(without[80 * 32..<81 * 32]), "\(path)")
            }
        }

        @Test func `the same tokens give the same bits again`() throws {
            let before = Compute.kernels
            defer { try? Compute.use(before) }
            let it = Case(height: 10, width: 9, window: 7, size: 32)
            for path in Compute.availableKernels {
                for form in [ck_fp32, ck_bf16] {
                    #expect(try run(path, form, it) == run(path, form, it), "\(path) \(form)")
                }
            }
        }

        @Test func `heads that are too large, missing padding and half of the positions are refused`() {
            var a = ck_self_attention()
            (a.batch, a.height, a.width, a.heads, a.head_size, a.scale) = (1, 4, 4, 1, 300, 1)
            #expect(ck_attend(&a) == ck_bad_argument)
            (a.head_size, a.window) = (16, 3)
            #expect(ck_attend(&a) == ck_bad_argument)
            a.window = 2
            [Float(0)].withUnsafeBufferPointer { a.rel_height = $0.baseAddress }
            #expect(ck_attend(&a) == ck_bad_argument)
        }
    }
}
