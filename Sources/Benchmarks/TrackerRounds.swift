// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Platform

/// A program that `conformance/bench_tracker.py` compares with others.
///
/// It loads a network of SAM 2 once and prints `ready`. Then it reads commands from standard input, one per line, and
/// prints the seconds that each took:
///
/// - `image`, `attention`, `decoder`, `memory`: a part of the work on one tracked frame.
/// - `volume N`: a sequence of N frames, tracked in both directions from a box on the middle one; every frame is
///   encoded once.
/// - `layers`: prints the seconds of the image encoder per kind of layer so far, as JSON.
/// - `bare`: prints the operations per second of a loop that does not fetch anything.
enum TrackerRounds {
    /// Serves commands until standard input ends.
    ///
    /// - Parameters:
    ///   - path: the weights, as safetensors under the publisher's names.
    ///   - size: height and width of the network's input.
    /// - Throws: `WeightFileError`, `SegmentAnythingError`, `TrackingError` or `ComputeError`.
    static func serve(weights path: String, size: Int) throws {
        try Compute.startWithAnyThreads()
        let network = try SegmentAnything2(
            try SafeTensors(path: path), precision: Compute.precision(), inputSize: size)
        // Mean 0 and deviation about 1, as normalised images have.
        let input = Tensor(
            shape: [1, size, size, 3], values: Noise.values(size * size * 3, seed: 6).map { ($0 - 0.5) * 3.46 })
        let parts = try TrackingParts(network, input: input)
        network.encoderTimes = LayerTimes()
        print("ready")
        fflush(nil)
        while let line = readLine() {
            let words = line.split(separator: " ")
            if line == "layers" {
                let seconds = network.encoderTimes?.seconds ?? [:]
                let named = Dictionary(uniqueKeysWithValues: seconds.map { ($0.key.rawValue, $0.value) })
                print(String(decoding: try JSONEncoder().encode(named), as: UTF8.self))
            } else if line == "bare" {
                print(String(format: "%.4g", Compute.bareSpeed(try Compute.precision())))
            } else {
                let duration = try MonotonicClock.measure {
                    switch words.first {
                    case "image": try parts.encodeImage()
                    case "attention": try parts.attend()
                    case "decoder": try parts.decode()
                    case "memory": try parts.encodeMemory()
                    default: try track(network, input, frames: words.last.flatMap { Int($0) } ?? 1)
                    }
                }
                print(String(format: "%.6f", duration / .seconds(1)))
            }
            fflush(nil)
        }
    }

    /// Tracks a box through a sequence as MedSAM2's recipe does.
    private static func track(_ network: SegmentAnything2, _ input: Tensor, frames: Int) throws {
        let key = frames / 2
        let size = Float(network.inputSize)
        let box = PromptBox(x0: size / 4, y0: size / 4, x1: 3 * size / 4, y1: 3 * size / 4)
        var kept = [Int: FrameFeatures]()
        let tracker = ObjectTracker(
            network, frameCount: frames, options: ObjectTracker.Options(keepsHistory: false)
        ) { frame in
            if let features = kept[frame] { return features }
            let features = try network.encode(input)
            // Only the key frame is needed in both directions.
            if frame == key { kept[frame] = features }
            return features
        }
        for isReverse in [false, true] {
            tracker.reset()
            _ = try tracker.prompt(Prompt(box: box), frame: key)
            try tracker.track(isReverse: isReverse) { _ in true }
        }
    }
}
