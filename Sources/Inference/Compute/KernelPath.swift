// SPDX-License-Identifier: Apache-2.0

import CKernels
public import Foundation

/// The instruction set that the transformer kernels use for products, attention and the layers
/// around them.
///
/// The cases are in the order of the `ck_path` numbers. An emulated path runs the code of a
/// hardware path on a processor with AVX2. It is slow and exists for tests.
public enum KernelPath: String, Sendable, Hashable, CaseIterable {
    /// C without intrinsics, the reference for the other paths.
    case plain
    case avx2
    case avx512
    case avx512BF16 = "avx512-bf16"
    case amx
    case emulatedAVX512 = "emulated-avx512"
    case emulatedAVX512BF16 = "emulated-avx512-bf16"
    case emulatedAMX = "emulated-amx"

    /// The kernels' number for this path.
    var path: ck_path {
        switch self {
        case .plain: ck_path_plain
        case .avx2: ck_path_avx2
        case .avx512: ck_path_avx512
        case .avx512BF16: ck_path_avx512_bf16
        case .amx: ck_path_amx
        case .emulatedAVX512: ck_path_emulated_avx512
        case .emulatedAVX512BF16: ck_path_emulated_avx512_bf16
        case .emulatedAMX: ck_path_emulated_amx
        }
    }

    /// Whether this processor and its operating system can run the path.
    public var isAvailable: Bool { ck_path_available(path) != 0 }

    /// Whether the path has instructions for bf16 products.
    ///
    /// Other paths widen bf16 operands to fp32, which saves no time.
    public var hasBF16: Bool { ck_path_has_bf16(path) != 0 }
}

extension Compute {
    /// The paths that this processor can run.
    public static var availableKernels: [KernelPath] { KernelPath.allCases.filter(\.isAvailable) }

    /// The path in use: the best available one, unless `use` took another.
    public static var kernels: KernelPath {
        let current = ck_current_path()
        return KernelPath.allCases.first { $0.path == current } ?? .plain
    }

    /// A warning for the operator about the path in use, or `nil`.
    ///
    /// A warning exists if the path that was requested, or else the best path, computed wrong numbers on this
    /// processor. The warning names that path and the path that replaces it.
    public static var kernelWarning: String? {
        _ = ck_current_path()
        let warning = String(cString: ck_path_warning())
        return warning.isEmpty ? nil : warning
    }

    /// Takes a path for the networks that are loaded from now on.
    ///
    /// - Parameter kernels: a path that this processor can run.
    /// - Throws: `ComputeError.kernelsUnavailable`.
    public static func use(_ kernels: KernelPath) throws(ComputeError) {
        guard ck_choose_path(kernels.path) == ck_ok else {
            throw .kernelsUnavailable(kernels, available: availableKernels)
        }
    }

    /// Reads the path that the environment variable KONTUR_KERNELS names.
    ///
    /// - Parameters:
    ///   - environment: the environment variables that are read.
    ///   - available: the paths that the processor can run.
    /// - Returns: the path, or `nil` if the variable is unset or empty.
    /// - Throws: `ComputeError.unknownKernels` or `.kernelsUnavailable`.
    public static func kernelsAsked(
        environment: [String: String] = ProcessInfo.processInfo.environment,
        available: [KernelPath] = Compute.availableKernels
    ) throws(ComputeError) -> KernelPath? {
        guard let asked = environment["KONTUR_KERNELS"], !asked.isEmpty else { return nil }
        guard let path = KernelPath(rawValue: asked) else { throw .unknownKernels(asked) }
        guard available.contains(path) else { throw .kernelsUnavailable(path, available: available) }
        return path
    }

    /// The precision of transformers: bf16 if the path in use has instructions for it, otherwise
    /// fp32.
    ///
    /// The environment variable KONTUR_INFERENCE overrides this choice. Every path computes both
    /// precisions, so bf16 is never refused.
    ///
    /// - Parameters:
    ///   - environment: the environment variables that are read.
    ///   - kernels: the path in use.
    /// - Returns: the precision.
    /// - Throws: `ComputeError.unknownPrecision`.
    public static func transformerPrecision(
        environment: [String: String] = ProcessInfo.processInfo.environment, kernels: KernelPath = Compute.kernels
    ) throws(ComputeError) -> Precision {
        guard let asked = environment["KONTUR_INFERENCE"], !asked.isEmpty else {
            return kernels.hasBF16 ? .bf16 : .fp32
        }
        guard let precision = Precision(rawValue: asked) else { throw .unknownPrecision(asked) }
        return precision
    }
}
