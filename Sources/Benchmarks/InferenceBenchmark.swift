// SPDX-License-Identifier: Apache-2.0

import Imaging
import Segmentation

/// The shipped recipes, on noise: their time does not depend on what they see.
enum InferenceBenchmark {
    static let all: [Benchmark] = [
        Benchmark(name: "polyp-compact", unit: "frames a second", atLeast: 5) {
            let segmenter = try Segmenters.make("polyp-compact")
            let frames = (0..<10).map { seed in
                Frame(rows: 480, columns: 640, channels: 3, samples: noise(480 * 640 * 3, seed: seed, upTo: 255))
            }
            _ = try segmenter.segment(.frames(frames)) { _, _ in }
            return Double(frames.count)
        },
        Benchmark(name: "left-atrium-compact", unit: "slices a second", atLeast: 3) {
            let segmenter = try Segmenters.make("left-atrium-compact")
            let plane = PlaneGeometry(
                position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
                rowSpacing: 0.625, columnSpacing: 0.625)
            let volume = Volume(
                slices: 88, rows: 320, columns: 320, voxels: noise(88 * 320 * 320, seed: 1, upTo: 1000), plane: plane,
                sliceSpacing: 0.625)
            _ = try segmenter.segment(.volume(volume)) { _, _ in }
            return Double(volume.slices)
        },
    ]

    /// The same numbers for the same seed, by a linear congruential generator (Knuth's MMIX constants).
    private static func noise(_ count: Int, seed: Int, upTo limit: Float) -> [Float] {
        var state = UInt64(seed) &+ 1
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(state >> 40) / Float(1 << 24) * limit
        }
    }
}
