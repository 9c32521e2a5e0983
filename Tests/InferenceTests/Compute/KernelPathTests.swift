// SPDX-License-Identifier: Apache-2.0

import CKernels
import Inference
import Testing

extension InferenceSuites {
    @Suite struct KernelPathTests {
        init() throws { try Compute.startWithAnyThreads() }

        @Test func `names and numbers of the paths are the C room's`() {
            #expect(KernelPath.allCases.count == Int(ck_path_count))
            for (number, path) in KernelPath.allCases.enumerated() {
                #expect(ck_path_name(ck_path(UInt32(number))).map { String(cString: $0) } == path.rawValue)
            }
            #expect(ck_path_name(ck_path(8)) == nil)
        }

        @Test func `KONTUR_KERNELS names a path that the processor can run`() throws {
            let available: [KernelPath] = [.plain, .avx2]
            #expect(try Compute.kernelsAsked(environment: [:], available: available) == nil)
            #expect(try Compute.kernelsAsked(environment: ["KONTUR_KERNELS": "avx2"], available: available) == .avx2)
            #expect(throws: ComputeError.kernelsUnavailable(.amx, available: available)) {
                try Compute.kernelsAsked(environment: ["KONTUR_KERNELS": "amx"], available: available)
            }
            #expect(throws: ComputeError.unknownKernels("sse")) {
                try Compute.kernelsAsked(environment: ["KONTUR_KERNELS": "sse"], available: available)
            }
            #expect(
                ComputeError.kernelsUnavailable(.amx, available: available).description
                    == "KONTUR_KERNELS asks for amx, which this processor cannot run; unset it or set one of plain, avx2"
            )
        }

        @Test func `transformers run in bf16 by themselves only where it is fast`() throws {
            #expect(try Compute.transformerPrecision(environment: [:], kernels: .avx2) == .fp32)
            #expect(try Compute.transformerPrecision(environment: [:], kernels: .amx) == .bf16)
            #expect(
                try Compute.transformerPrecision(environment: ["KONTUR_INFERENCE": "bf16"], kernels: .avx2) == .bf16)
            #expect(throws: ComputeError.unknownPrecision("int8")) {
                try Compute.transformerPrecision(environment: ["KONTUR_INFERENCE": "int8"], kernels: .avx2)
            }
        }

        @Test func `every available path agrees with the plain one, and another one is refused`() throws {
            let before = Compute.kernels
            defer { try? Compute.use(before) }
            for path in KernelPath.allCases {
                guard path.isAvailable else {
                    #expect(throws: ComputeError.kernelsUnavailable(path, available: Compute.availableKernels)) {
                        try Compute.use(path)
                    }
                    continue
                }
                try Compute.use(path)
                #expect(Compute.kernels == path)
                #expect(Compute.kernelWarning == nil)
            }
        }
    }
}
