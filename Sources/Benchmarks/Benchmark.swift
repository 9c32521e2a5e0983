// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Something whose rate is measured.
struct Benchmark: Sendable {
    struct Result {
        /// The median rate over the rounds.
        var value: Double
    }

    let name: String
    let unit: String
    /// Half of what two cores of 2021 (AVX2, fp32) reached when this was written: it catches mistakes, not noise.
    let atLeast: Double
    /// Does the work once; returns how many units of it were done.
    let work: @Sendable () throws -> Double
    var rounds = 3

    /// Runs the work once to warm up, then a few times.
    func run() throws -> Result {
        _ = try work()
        var rates: [Double] = []
        for _ in 0..<rounds {
            let clock = ContinuousClock()
            let start = clock.now
            let units = try work()
            rates.append(units / ((clock.now - start) / .seconds(1)))
        }
        return Result(value: rates.sorted()[rounds / 2])
    }
}
