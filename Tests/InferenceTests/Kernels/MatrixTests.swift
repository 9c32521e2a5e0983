// SPDX-License-Identifier: Apache-2.0

import CKernels
import Foundation
import Inference
import Testing

extension InferenceSuites {
    /// Compares every path that this processor can run, also the emulated ones, with the plain
    /// path.
    @Suite struct MatrixTests {
        init() throws { try Compute.startWithAnyThreads() }

        enum Residual: CaseIterable { case none, another, output }

        struct Case {
            var rows = 7
            var n = 33
            var k = 27
            var activation = ck_identity
            var residual = Residual.none
            var activatesLast = false
            var rounds = false
            /// The number of unused elements between rows.
            var slack = 0
            /// The number of rows of a group of the output; 0 means that rows are not grouped.
            var group = 0
        }

        /// The result of `path` for a case whose numbers are drawn alike for all paths.
        func run(_ path: KernelPath, _ precision: ck_precision, _ it: Case, rows some: Range<Int>? = nil) throws
            -> [Float]
        {
            var drawing = Drawing(seed: it.rows &* 31 &+ it.n &* 7 &+ it.k)
            let weight = drawing.values(it.n * it.k, scale: 1 / Float(it.k).squareRoot())
            let bias = drawing.values(it.n)
            let stride = it.k + it.slack
            let input = drawing.values(it.rows * stride)
            // The output has room for a second group behind each group.
            let groupStride = 2 * it.group * it.n
            let count = it.group == 0 ? it.rows * it.n : (it.rows + it.group - 1) / it.group * groupStride
            let residual = drawing.values(count)
            let some = some ?? 0..<it.rows
            try Compute.use(path)
            var matrix: OpaquePointer?
            #expect(ck_matrix_create(Int64(it.n), Int64(it.k), weight, bias, precision, &matrix) == ck_ok)
            defer { ck_matrix_destroy(matrix) }
            let empty: Float = it.group == 0 ? .nan : 0.5
            var output = it.residual == .output ? residual : [Float](repeating: empty, count: count)
            var half = [UInt16](repeating: it.group == 0 ? 0xffff : 0x3f00, count: count)
            let halves = rounded(input)
            let status = input.withUnsafeBytes { full in
                halves.withUnsafeBytes { short in
                    residual.withUnsafeBufferPointer { residual in
                        output.withUnsafeMutableBytes { output in
                            half.withUnsafeMutableBytes { half in
                                var m = ck_multiplication()
                                m.rows = Int64(some.count)
                                let size = precision == ck_bf16 ? 2 : 4
                                m.input = (precision == ck_bf16 ? short : full).baseAddress.map {
                                    $0 + some.lowerBound * stride * size
                                }
                                m.input_stride = Int64(stride)
                                let start = some.lowerBound * it.n
                                m.output = (it.rounds ? half : output).baseAddress.map {
                                    $0 + start * (it.rounds ? 2 : 4)
                                }
                                m.output_form = it.rounds ? ck_bf16 : ck_fp32
                                m.output_stride = Int64(it.n)
                                m.activation = it.activation
                                m.activates_last = it.activatesLast ? 1 : 0
                                m.residual_stride = Int64(it.n)
                                (m.group, m.group_stride) = (Int64(it.group), Int64(groupStride))
                                switch it.residual {
                                case .none: break
                                case .another: m.residual = residual.baseAddress.map { $0 + start }
                                case .output:
                                    let sums = output.bindMemory(to: Float.self).baseAddress
                                    m.residual = sums.map { UnsafePointer($0 + start) }
                                }
                                return ck_matrix_multiply(matrix, &m)
                            }
                        }
                    }
                }
            }
            #expect(status == ck_ok)
            let all = it.rounds ? widened(half) : output
            if it.group > 0 { return all }
            return Array(all[some.lowerBound * it.n..<some.upperBound * it.n])
        }

        private func compare(_ it: Case, _ tolerance: Double, _ note: Comment) throws {
            let before = Compute.kernels
            defer { try? Compute.use(before) }
            for precision in [ck_fp32, ck_bf16] {
                let expected = try run(.plain, precision, it)
                for path in Compute.availableKernels where path != .plain {
                    let found = try run(path, precision, it)
                    // The sums have another order. A number that is rounded to bf16 at the end may
                    // fall to the other side.
                    #expect(
                        relativeError(found, expected) < (it.rounds ? 2e-3 : tolerance), "\(path) \(precision) \(note)")
                }
            }
        }

        @Test func `every path multiplies matrices of odd sizes`() throws {
            for rows in [1, 5, 8, 97] {
                for n in [1, 15, 33, 100] {
                    for k in [1, 3, 27, 64, 515] {
                        try compare(Case(rows: rows, n: n, k: k), 2e-6, "\(rows) \(n) \(k)")
                    }
                }
            }
        }

        @Test func `many rows and deep sums are cut into blocks`() throws {
            try compare(Case(rows: 421, n: 530, k: 100), 2e-6, "rows")
            try compare(Case(rows: 70, n: 50, k: 1100), 5e-6, "depth")
        }

        @Test func `activations, residuals and rounding are fused in any combination`() throws {
            for activation in [ck_identity, ck_gelu, ck_relu] {
                for residual in Residual.allCases {
                    for last in [false, true] {
                        for rounds in [false, true] where !(rounds && residual == .output) {
                            try compare(
                                Case(
                                    activation: activation, residual: residual, activatesLast: last, rounds: rounds,
                                    slack: 3), 2e-6, "\(activation) \(residual) \(last) \(rounds)")
                        }
                    }
                }
            }
        }

        @Test func `rows in groups leave the room between the groups as it was`() throws {
            let before = Compute.kernels
            defer { try? Compute.use(before) }
            for path in Compute.availableKernels {
                for precision in [ck_fp32, ck_bf16] {
                    for rounds in [false, true] {
                        var it = Case(rows: 45, n: 37, activation: ck_gelu, rounds: rounds)
                        let expected = try run(path, precision, it)
                        it.group = 7
                        let found = try run(path, precision, it)
                        for row in 0..<45 {
                            let start = (row / 7 * 14 + row % 7) * 37
                            #expect(Array(found[start..<start + 37]) == Array(expected[row * 37..<(row + 1) * 37]))
                        }
                        for group in 0..<7 {
                            let gap = (group * 14 + 7) * 37..<(group + 1) * 14 * 37
                            #expect(found[gap].allSatisfy { $0 == 0.5 }, "\(path) \(precision)")
                        }
                    }
                }
            }
        }

        @Test func `rows in groups meet the residual at their own place`() throws {
            for rows in [1, 8, 33] {
                try compare(
                    Case(rows: rows, n: 40, residual: .another, activatesLast: true, group: 8), 2e-6, "\(rows)")
                try compare(Case(rows: rows, n: 40, residual: .output, group: 8), 2e-6, "\(rows) in place")
            }
        }

        @Test func `a row has the same bits whichever rows are computed with it, and so for any number of threads`()
            throws
        {
            let before = Compute.kernels
            defer { try? Compute.use(before) }
            let it = Case(rows: 211, n: 70, k: 300, activation: ck_gelu)
            for path in Compute.availableKernels {
                for precision in [ck_fp32, ck_bf16] {
                    let whole = try run(path, precision, it)
                    #expect(try run(path, precision, it) == whole, "\(path) \(precision) again")
                    for rows in [0..<1, 3..<11, 100..<211] {
                        let part = try run(path, precision, it, rows: rows)
                        #expect(
                            part == Array(whole[rows.lowerBound * 70..<rows.upperBound * 70]), "\(path) \(precision)")
                    }
                }
            }
        }

        @Test func `a thread that has not computed yet multiplies rows that fill their strips`() async throws {
            let it = Case(rows: 84, n: 70, k: 64)
            let expected = try run(Compute.kernels, ck_fp32, it)
            let found = await withCheckedContinuation { (done: CheckedContinuation<[Float]?, Never>) in
                Thread { done.resume(returning: try? run(Compute.kernels, ck_fp32, it)) }.start()
            }
            #expect(found == expected)
        }

        @Test func `GELU is the one with erf, also far from zero`() throws {
            let x = stride(from: Float(-12), through: 12, by: 0.01).map(\.self)
            let expected = x.map { Double($0) / 2 * (1 + erf(Double($0) / 2.0.squareRoot())) }
            var matrix: OpaquePointer?
            #expect(ck_matrix_create(1, 1, [1], nil, ck_fp32, &matrix) == ck_ok)
            defer { ck_matrix_destroy(matrix) }
            var found = [Float](repeating: .nan, count: x.count)
            x.withUnsafeBytes { input in
                found.withUnsafeMutableBytes { output in
                    var m = ck_multiplication()
                    (m.rows, m.input_stride, m.output_stride) = (Int64(x.count), 1, 1)
                    (m.input, m.output, m.activation) = (input.baseAddress, output.baseAddress, ck_gelu)
                    #expect(ck_matrix_multiply(matrix, &m) == ck_ok)
                }
            }
            for (found, expected) in zip(found, expected) { #expect(abs(Double(found) - expected) < 1e-6) }
        }

        @Test func `strides that are too short and a rounded residual in place are refused`() throws {
            var matrix: OpaquePointer?
            #expect(ck_matrix_create(2, 3, [1, 2, 3, 4, 5, 6], nil, ck_fp32, &matrix) == ck_ok)
            defer { ck_matrix_destroy(matrix) }
            var output: [Float] = [0, 0]
            let input: [Float] = [1, 1, 1]
            input.withUnsafeBytes { input in
                output.withUnsafeMutableBytes { output in
                    var m = ck_multiplication()
                    m.rows = 1
                    m.input = input.baseAddress
                    m.output = output.baseAddress
                    m.output_stride = 2
                    m.input_stride = 2
                    #expect(ck_matrix_multiply(matrix, &m) == ck_bad_argument)
                    m.input_stride = 3
                    #expect(ck_matrix_multiply(matrix, &m) == ck_ok)
                    m.output_form = ck_bf16
                    m.residual = UnsafePointer(output.bindMemory(to: Float.self).baseAddress)
                    m.residual_stride = 2
                    #expect(ck_matrix_multiply(matrix, &m) == ck_bad_argument)
                }
            }
            #expect(output == [6, 15])
        }
    }
}
