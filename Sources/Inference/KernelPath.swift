// SPDX-License-Identifier: Apache-2.0

internal import CKernels
public import Foundation

/// The instructions that products, attention and what is around them are computed with; the number is `ck_path`'s.
///
/// The emulated ones run the code of the hardware path on a processor with AVX2, slowly, so that it can be tested there.
public enum KernelPath: String, Sendable, Hashable, CaseIterable {
    case plain
    case avx2
    case avx512
    case avx512BF16 = "avx512-bf16"
    case amx
    case emulatedAVX512 = "emulated-avx512"
    case emulatedAVX512BF16 = "emulated-avx512-bf16"
    case emulatedAMX = "emulated-amx"

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

    /// Whether this processor, and its operating system, can run it.
    public var isAvailable: Bool { ck_path_available(path) != 0 }

    /// Whether it has instructions for products of bf16; the others widen them, which gains no time.
    public var hasBF16: Bool { ck_path_has_bf16(path) != 0 }
}

extension Compute {
    /// The paths that this processor can run.
    public static var availableKernels: [KernelPath] { KernelPath.allCases.filter(\.isAvailable) }

    /// The path in use: the best available one unless another was taken.
    public static var kernels: KernelPath {
        let current = ck_current_path()
        return KernelPath.allCases.first { $0.path == current } ?? .plain
    }

    /// What an operator should know of the path in use: that the one asked for, or the best one, computed wrong numbers
    /// on this processor, and which is used instead.
    public static var kernelWarning: String? {
        _ = ck_current_path()
        let warning = String(cString: ck_path_warning())
        return warning.isEmpty ? nil : warning
    }

    /// Takes a path for the networks that are loaded from now on.
    ///
    /// - Throws: `ComputeError.kernelsUnavailable`.
    public static func use(_ kernels: KernelPath) throws(ComputeError) {
        guard ck_choose_path(kernels.path) == ck_ok else {
            throw .kernelsUnavailable(kernels, available: availableKernels)
        }
    }

    /// The path that the environment variable KONTUR_KERNELS asks for, nil where it asks for none.
    ///
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

    /// The precision of transformers: every path computes both, so bf16 is never refused; without KONTUR_INFERENCE it is
    /// bf16 where the path in use has instructions for it.
    ///
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
