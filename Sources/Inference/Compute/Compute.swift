// SPDX-License-Identifier: Apache-2.0

import CKernels
public import Foundation

/// The number format of a product's operands.
///
/// Sums are fp32 in both formats.
public enum Precision: String, Sendable, Hashable, CaseIterable {
    /// IEEE 754 single precision.
    case fp32
    /// Brain floating point: the upper 16 bits of an fp32 number.
    case bf16
}

/// An error that keeps the kernels from computing.
public enum ComputeError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The first call of `Compute.start` fixed another number of threads for this process.
    case threadsAlreadyFixed(at: Int, asked: Int)
    /// The processor lacks instructions for bf16 convolutions.
    case bf16Unavailable
    /// The environment variable KONTUR_INFERENCE has an unknown value.
    case unknownPrecision(String)
    /// The environment variable KONTUR_KERNELS names a path that this processor cannot run;
    /// `available` lists the paths that it can run.
    case kernelsUnavailable(KernelPath, available: [KernelPath])
    /// The environment variable KONTUR_KERNELS has an unknown value.
    case unknownKernels(String)
    /// The kernels could not allocate memory for `operation`.
    case outOfMemory(operation: String)
    /// A network computed values that are not finite.
    case notFinite
    /// The kernel library reported `status`, a `ck_status`, in `operation`.
    case failed(operation: String, status: Int)

    /// Checks an answer of a network.
    ///
    /// Values that are not numbers compare as if the structure were absent, so they must not pass for an answer.
    ///
    /// - Throws: `notFinite`.
    static func check(finite values: [Float]) throws(ComputeError) {
        guard values.allSatisfy(\.isFinite) else { throw .notFinite }
    }

    /// The message for an operator.
    public var description: String {
        switch self {
        case .threadsAlreadyFixed(let fixed, let asked):
            "inference already runs on \(fixed) threads in this process and cannot change to \(asked); "
                + "start another process"
        case .bf16Unavailable:
            "KONTUR_INFERENCE asks for bf16, but this processor has neither AVX512-BF16 nor AMX; "
                + "unset it or set fp32"
        case .unknownPrecision(let value):
            "KONTUR_INFERENCE is \(value.debugDescription); set fp32 or bf16, or unset it"
        case .kernelsUnavailable(let path, let available):
            "KONTUR_KERNELS asks for \(path.rawValue), which this processor cannot run; unset it or set one of "
                + available.map(\.rawValue).joined(separator: ", ")
        case .unknownKernels(let value):
            "KONTUR_KERNELS is \(value.debugDescription); unset it or set one of "
                + KernelPath.allCases.map(\.rawValue).joined(separator: ", ")
        case .outOfMemory(let operation):
            "out of memory in \(operation)"
        case .notFinite:
            "the network computed values that are not numbers: its weights do not work; "
                + "run 'kontur models verify', or add weights of the publisher"
        case .failed(let operation, let status):
            "\(operation) failed in the kernel library (status \(status))"
        }
    }

    /// Throws the error that a kernel's status stands for, and returns on `ck_ok`.
    static func check(_ status: ck_status, _ operation: @autoclosure () -> String) throws(ComputeError) {
        switch status {
        case ck_ok: return
        case ck_out_of_memory: throw .outOfMemory(operation: operation())
        default: throw .failed(operation: operation(), status: Int(status.rawValue))
        }
    }
}

/// The computing threads and the precision of this process.
///
/// All inference runs on the thread that called `start` and on the OpenMP team of that thread.
public enum Compute {
    /// The number of processors that this process may use, at most 8.
    ///
    /// The networks of this room gain little from more than 8 threads.
    public static var defaultThreads: Int { min(max(ProcessInfo.processInfo.activeProcessorCount, 1), 8) }

    /// The precisions that this processor has convolution instructions for.
    public static var available: [Precision] { ck_has_bf16() != 0 ? [.fp32, .bf16] : [.fp32] }

    /// Fixes the number of threads once for the process.
    ///
    /// A later call with the same number does nothing. The first call also takes the kernel path
    /// that the environment variable KONTUR_KERNELS names, if it is set.
    ///
    /// - Parameter threads: 1 to 256.
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

    /// Starts with the number of threads that is already fixed, or else with the default.
    ///
    /// - Throws: `ComputeError.unknownKernels` or `.kernelsUnavailable`.
    public static func startWithAnyThreads() throws(ComputeError) {
        try start(threads: ck_threads() > 0 ? Int(ck_threads()) : defaultThreads)
    }

    /// The precision of convolutions: bf16 if the processor has it, otherwise fp32.
    ///
    /// The environment variable KONTUR_INFERENCE overrides this choice.
    ///
    /// - Parameters:
    ///   - environment: the environment variables that are read.
    ///   - available: the precisions that the processor has.
    /// - Returns: the precision.
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
