// SPDX-License-Identifier: Apache-2.0

import Imaging
import Platform
import Segmentation

/// A piece of work whose rate is measured against a threshold.
struct Benchmark: Sendable {
    /// The name that `Benchmarks NAME` selects.
    let name: String
    /// The unit of the rate, such as `frames per second`.
    let unit: String
    /// The rate below which the benchmark fails: half of the rate of two cores of 2021 (AVX2, fp32).
    ///
    /// It detects mistakes, not noise.
    let atLeast: Double
    /// The number of measured rounds.
    var rounds = 3
    /// Does the work once and returns how many units of it were done.
    let work: @Sendable () throws -> Double

    /// Runs the work once to warm up, then measures it in several rounds.
    ///
    /// - Returns: the median rate, in units per second.
    /// - Throws: the errors of the work.
    func run() throws -> Double {
        _ = try work()
        var rates: [Double] = []
        for _ in 0..<rounds {
            let start = MonotonicClock.now()
            let units = try work()
            rates.append(units / ((MonotonicClock.now() - start) / .seconds(1)))
        }
        return rates.sorted()[rounds / 2]
    }
}

extension Benchmark {
    /// The shipped segmenters on noise; their time does not depend on the content of an image.
    static let segmenters: [Benchmark] = [
        Benchmark(name: "polyp-compact", unit: "frames per second", atLeast: 5) {
            let segmenter = try Segmenters.make("polyp-compact")
            let frames = (0..<10).map { seed in
                Frame(
                    rows: 480, columns: 640, channels: 3,
                    samples: Noise.values(480 * 640 * 3, seed: seed).map { $0 * 255 })
            }
            _ = try segmenter.segment(.frames(frames)) { _, _ in }
            return Double(frames.count)
        },
        Benchmark(name: "left-atrium-compact", unit: "slices per second", atLeast: 3) {
            let segmenter = try Segmenters.make("left-atrium-compact")
            let plane = PlaneGeometry(
                position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
                rowSpacing: 0.625, columnSpacing: 0.625)
            let volume = Volume(
                slices: 88, rows: 320, columns: 320,
                voxels: Noise.values(88 * 320 * 320, seed: 1).map { $0 * 1000 }, plane: plane, sliceSpacing: 0.625)
            _ = try segmenter.segment(.volume(volume)) { _, _ in }
            return Double(volume.slices)
        },
    ]
}

/// Numbers that look random and are the same in every run.
enum Noise {
    /// Numbers in 0..<1, by a linear congruential generator (Knuth's MMIX constants).
    static func values(_ count: Int, seed: Int) -> [Float] {
        var state = UInt64(seed) &+ 1
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(state >> 40) / Float(1 << 24)
        }
    }
}
