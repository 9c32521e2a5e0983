// SPDX-License-Identifier: Apache-2.0

import CKernels
import Platform

/// The kinds of layers whose time is measured.
public enum LayerKind: String, Sendable, Hashable, CaseIterable {
    case patchEmbedding = "patch embedding"
    case norm = "norms"
    /// The qkv product before an attention and the product after it.
    case projection = "projections"
    case windowAttention = "window attention"
    case globalAttention = "global attention"
    case mlp = "MLPs"
    case convolution = "convolutions"
    case neck = "neck"
}

/// Seconds per kind of layer, summed over all calls.
public struct LayerTimes: Sendable, Hashable {
    /// Seconds by kind; a kind that did not run is missing.
    public private(set) var seconds: [LayerKind: Double] = [:]

    /// Creates times without any measurement.
    public init() {}

    /// Adds the duration of one layer.
    mutating func add(_ kind: LayerKind, _ duration: Duration) {
        seconds[kind, default: 0] +=
            Double(duration.components.attoseconds) * 1e-18 + Double(duration.components.seconds)
    }
}

/// Measures layers while `times` is set.
///
/// If `times` is `nil`, the stopwatch does not read a clock.
final class Stopwatch {
    /// The times so far; `nil` turns the measurement off.
    var times: LayerTimes?

    /// Runs `body` and adds its duration to `kind`.
    func measure(_ kind: LayerKind, _ body: () throws -> Void) rethrows {
        guard times != nil else { return try body() }
        let start = MonotonicClock.now()
        try body()
        times?.add(kind, MonotonicClock.now() - start)
    }
}

extension Compute {
    /// Measures the speed of the kernels in this process.
    ///
    /// The measured products have the size that image encoders have (1024 x 768 x 768). The caller
    /// has called `start` on this thread.
    ///
    /// - Parameter seconds: how long to measure.
    /// - Returns: floating-point operations per second in the fastest of the products.
    /// - Throws: `ComputeError`.
    public static func measuredSpeed(seconds: Double = 0.3) throws -> Double {
        let (rows, inputs, outputs) = (1024, 768, 768)
        let precision = try precision()
        let values = (0..<outputs * inputs).map { Float($0 % 251) / 251 - 0.5 }
        let layer = try Linear(weight: values, bias: nil, outputs: outputs, inputs: inputs, precision: precision)
        // The values do not affect the time, provided that they are not subnormal.
        let input = [Float](repeating: 1, count: rows * inputs)
        var output = [Float](repeating: 0, count: rows * outputs)
        let start = MonotonicClock.now()
        var best = Double.infinity
        repeat {
            let begin = MonotonicClock.now()
            try input.withUnsafeBytes { input in
                try output.withUnsafeMutableBytes { output in
                    guard let from = input.baseAddress, let to = output.baseAddress else { return }
                    try layer.apply(rows: rows, from, to: to)
                }
            }
            best = min(best, (MonotonicClock.now() - begin) / .seconds(1))
        } while (MonotonicClock.now() - start) / .seconds(1) < seconds
        return 2 * Double(rows * inputs * outputs) / best
    }

    /// The speed of multiply-adds on registers alone, on all threads, in floating-point operations
    /// per second.
    ///
    /// Products cannot be faster than this. The caller has called `start` on this thread.
    public static func bareSpeed(_ precision: Precision) -> Double {
        var operations = 0.0
        let seconds = MonotonicClock.measure {
            operations = ck_bare_loop(300_000, precision == .bf16 ? ck_bf16 : ck_fp32)
        }
        return operations / (seconds / .seconds(1))
    }
}
