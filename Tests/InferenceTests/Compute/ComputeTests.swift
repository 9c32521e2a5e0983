// SPDX-License-Identifier: Apache-2.0

import CKernels
import Inference
import Testing

extension InferenceSuites {
    @Suite struct ComputeTests {
        init() throws { try Compute.startWithAnyThreads() }

        @Test func `threads are fixed by the first call`() throws {
            let fixed = Int(ck_threads())
            try Compute.start(threads: fixed)
            #expect(throws: ComputeError.threadsAlreadyFixed(at: fixed, asked: fixed + 1)) {
                try Compute.start(threads: fixed + 1)
            }
        }

        @Test func `precision follows the processor, then the environment`() throws {
            #expect(try Compute.precision(environment: [:], available: [.fp32]) == .fp32)
            #expect(try Compute.precision(environment: [:], available: [.fp32, .bf16]) == .bf16)
            #expect(
                try Compute.precision(environment: ["KONTUR_INFERENCE": "fp32"], available: [.fp32, .bf16]) == .fp32)
            #expect(throws: ComputeError.bf16Unavailable) {
                try Compute.precision(environment: ["KONTUR_INFERENCE": "bf16"], available: [.fp32])
            }
            #expect(throws: ComputeError.unknownPrecision("int8")) {
                try Compute.precision(environment: ["KONTUR_INFERENCE": "int8"], available: [.fp32])
            }
        }

        @Test func `bf16 is refused without its instructions`() throws {
            guard !Compute.available.contains(.bf16) else { return }
            let weight = Tensor(shape: [1, 1, 1, 1], values: [1])
            #expect(throws: ComputeError.bf16Unavailable) {
                try Convolution(weight: weight, bias: nil, precision: .bf16)
            }
        }

        @Test func `rounding to bf16 is to nearest, ties to even`() {
            let cases: [(Float, UInt16)] = [
                (1, 0x3f80), (-2, 0xc000), (0, 0), (Float(bitPattern: 0x3f80_8000), 0x3f80),
                (Float(bitPattern: 0x3f81_8000), 0x3f82), (Float(bitPattern: 0x3f80_8001), 0x3f81),
                (.greatestFiniteMagnitude, 0x7f80), (.infinity, 0x7f80), (-.infinity, 0xff80),
            ]
            var rounded = [UInt16](repeating: 1, count: cases.count)
            ck_to_bf16(Int64(cases.count), cases.map(\.0), &rounded)
            #expect(rounded == cases.map(\.1))
            var nan: UInt16 = 0
            ck_to_bf16(1, [Float(bitPattern: 0x7f80_0001)], &nan)
            #expect(Float(bitPattern: UInt32(nan) << 16).isNaN)
        }

        @Test func `the kernels refuse sizes that make no sense`() {
            var shape = ck_convolution_shape(
                axes: 4, inputs: 1, outputs: 1, kernel: 1, stride: 1, padding: 0, adds: 0, negative_slope: 1)
            var made: OpaquePointer?
            #expect(ck_convolution_create(&shape, [1], nil, ck_fp32, &made) == ck_bad_argument)
            shape.axes = 2
            shape.kernel = 3
            #expect(ck_convolution_create(&shape, [Float](repeating: 1, count: 9), nil, ck_fp32, &made) == ck_ok)
            var output: Float = 0
            #expect(ck_convolution_run(made, 1, [2, 5], [Float](repeating: 1, count: 10), &output) == ck_bad_argument)
            ck_convolution_destroy(made)
        }
    }
}
