// SPDX-License-Identifier: Apache-2.0

/// Where the time of a network goes, by kind of layer.
public enum LayerKind: String, Sendable, Hashable, CaseIterable {
    case patchEmbedding = "patch embedding"
    case norm = "norms"
    /// qkv and the product after the attention.
    case projection = "projections"
    case windowAttention = "window attention"
    case globalAttention = "global attention"
    case mlp = "MLPs"
    case convolution = "convolutions"
    case neck = "neck"
}

/// Seconds by kind of layer, added up over calls.
public struct LayerTimes: Sendable, Hashable {
    public private(set) var seconds: [LayerKind: Double] = [:]

    public init() {}

    mutating func add(_ kind: LayerKind, _ duration: Duration) {
        seconds[kind, default: 0] +=
            Double(duration.components.attoseconds) * 1e-18 + Double(duration.components.seconds)
    }
}

/// Measures when it is asked to: without, no clock is read.
final class Stopwatch {
    var times: LayerTimes?

    func measure(_ kind: LayerKind, _ body: () throws -> Void) rethrows {
        guard times != nil else { return try body() }
        let start = ContinuousClock.now
        try body()
        times?.add(kind, ContinuousClock.now - start)
    }
}
