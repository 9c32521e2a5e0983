// SPDX-License-Identifier: Apache-2.0

internal import CKernels
public import Foundation

/// The number format of a product's operands; sums are fp32 in both.
public enum Precision: String, Sendable, Hashable, CaseIterable {
    case fp32
    case bf16
}

/// Why the kernels did not compute.
public enum ComputeError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Threads are fixed by the first call in a process.
    case threadsAlreadyFixed(at: Int, asked: Int)
    case bf16Unavailable
    case unknownPrecision(String)
    /// KONTUR_KERNELS names a path that this processor lacks; `available` are those it has.
    case kernelsUnavailable(KernelPath, available: [KernelPath])
    case unknownKernels(String)
    case outOfMemory(operation: String)
    case failed(operation: String, status: Int)

    public var description: String {
        switch self {
        case .threadsAlreadyFixed(let fixed, let asked):
            "inference runs on \(fixed) threads in this process, \(asked) were asked for: start another process"
        case .bf16Unavailable:
            "KONTUR_INFERENCE asks for bf16, but this processor has neither AVX512-BF16 nor AMX: unset it or set fp32"
        case .unknownPrecision(let value):
            "KONTUR_INFERENCE is \(value.debugDescription): set fp32 or bf16, or unset it"
        case .kernelsUnavailable(let path, let available):
            "KONTUR_KERNELS asks for \(path.rawValue), which this processor cannot run: unset it or set one of "
                + available.map(\.rawValue).joined(separator: ", ")
        case .unknownKernels(let value):
            "KONTUR_KERNELS is \(value.debugDescription): unset it or set one of "
                + KernelPath.allCases.map(\.rawValue).joined(separator: ", ")
        case .outOfMemory(let operation):
            "out of memory in \(operation)"
        case .failed(let operation, let status):
            "\(operation) failed in the kernel library (status \(status))"
        }
    }

    static func check(_ status: ck_status, _ operation: @autoclosure () -> String) throws(ComputeError) {
        switch status {
        case ck_ok: return
        case ck_out_of_memory: throw .outOfMemory(operation: operation())
        default: throw .failed(operation: operation(), status: Int(status.rawValue))
        }
    }
}

/// The process's computing threads and precision.
///
/// Everything in this room computes on the thread that called `start`, and on the team of threads that OpenMP keeps
/// for it.
public enum Compute {
    /// Processors this process may use, at most 8: more gain little for the networks here.
    public static var defaultThreads: Int { min(max(ProcessInfo.processInfo.activeProcessorCount, 1), 8) }

    /// The precisions this processor has instructions for.
    public static var available: [Precision] { ck_has_bf16() != 0 ? [.fp32, .bf16] : [.fp32] }

    /// Fixes the number of threads, once for the process: calls that ask for the same number again do nothing.
    ///
    /// The first call takes the path of kernels that the environment variable KONTUR_KERNELS names, if it names one.
    ///
    /// - Throws: `ComputeError.threadsAlreadyFixed`, `.unknownKernels` or `.kernelsUnavailable`.
    public static func start(threads: Int) throws(ComputeError) {
        precondition((1...256).contains(threads), "1 to 256 threads")
        let asked = try kernelsAsked()
        let isFirst = ck_threads() == 0
        guard ck_start(Int32(threads)) == ck_ok else {
            throw .threadsAlreadyFixed(at: Int(ck_threads()), asked: threads)
        }
        if isFirst, let asked { try use(asked) }
    }

    /// Starts with as many threads as are fixed already, or the default.
    public static func startWithAnyThreads() throws(ComputeError) {
        try start(threads: ck_threads() > 0 ? Int(ck_threads()) : defaultThreads)
    }

    /// bf16 where the processor has it, fp32 elsewhere; the environment variable KONTUR_INFERENCE decides otherwise.
    ///
    /// - Throws: `ComputeError.bf16Unavailable` or `.unknownPrecision`.
    public static func precision(
        environment: [String: String] = ProcessInfo.processInfo.environment, available: [Precision] = Compute.available
    ) throws(ComputeError) -> Precision {
        guard let asked = environment["KONTUR_INFERENCE"], !asked.isEmpty else {
            return available.contains(.bf16) ? .bf16 : .fp32
        }
        guard let precision = Precision(rawValue: asked) else { throw .unknownPrecision(asked) }
        guard available.contains(precision) else { throw .bf16Unavailable }
        return precision
    }
}
