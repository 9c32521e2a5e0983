// SPDX-License-Identifier: Apache-2.0

/// SplitMix64: the same numbers everywhere.
struct ByteFuzzer: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// `bytes` with up to `changes` of them changed, and sometimes cut off.
    mutating func spoil(_ bytes: [UInt8], changes: Int) -> [UInt8] {
        var spoiled = bytes
        for _ in 0..<Int.random(in: 1...changes, using: &self) {
            spoiled[Int.random(in: 0..<spoiled.count, using: &self)] = .random(in: 0...255, using: &self)
        }
        return Bool.random(using: &self) ? spoiled : Array(spoiled.prefix(.random(in: 0...spoiled.count, using: &self)))
    }
}
