// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Platform

/// A program that `conformance/bench_encoder.py` compares with others.
///
/// It loads a network once and prints `ready`. Then it reads commands from standard input, one per line:
///
/// - `layers`: prints the seconds per kind of layer in all rounds so far, as JSON.
/// - `bare`: prints the operations per second of a loop that does not fetch anything.
/// - any other line: does its work once and prints the seconds that it took.
enum EncoderRounds {
    enum Task: String {
        /// The image encoder on noise.
        case encoder
        /// One prompt on an embedding that was computed before.
        case prompt
        /// An automatic mask generation with 1024 points, including the image encoder.
        case automatic
    }

    /// Serves commands until standard input ends.
    static func serve(_ task: Task, weights path: String) throws {
        try Compute.startWithAnyThreads()
        let network = try SegmentAnything(try SafeTensors(path: path), precision: Compute.precision())
        let size = network.inputSize
        // Mean 0 and deviation about 1, as normalised images have.
        let values = Noise.values(size * size * 3, seed: 6).map { ($0 - 0.5) * 3.46 }
        let input = Tensor(shape: [1, size, size, 3], values: values)
        let generator = try AutomaticMaskGenerator(network)
        var embedding: ImageEmbedding?
        if task == .prompt { embedding = try network.embed(input) }
        network.encoderTimes = LayerTimes()
        print("ready")
        fflush(nil)
        while let line = readLine() {
            if line == "bare" {
                print(String(format: "%.4g", Compute.bareSpeed(try Compute.precision())))
            } else if line == "layers" {
                let seconds = network.encoderTimes?.seconds ?? [:]
                let named = Dictionary(uniqueKeysWithValues: seconds.map { ($0.key.rawValue, $0.value) })
                print(String(decoding: try JSONEncoder().encode(named), as: UTF8.self))
            } else {
                let duration = try MonotonicClock.measure {
                    switch task {
                    case .encoder: _ = try network.embed(input)
                    case .prompt:
                        guard let embedding else { return }
                        let centre = Float(size) / 2
                        let prompt = Prompt(points: [PromptPoint(x: centre, y: centre, label: .foreground)])
                        _ = try network.decode(embedding, [prompt], multimask: true)
                    case .automatic:
                        _ = try generator.masks(height: size, width: size) { _ in
                            AutomaticMaskGenerator.View(
                                embedding: try network.embed(input),
                                transform: SamTransform(height: size, width: size, inputSize: size))
                        }
                    }
                }
                print(String(format: "%.6f", duration / .seconds(1)))
            }
            fflush(nil)
        }
    }
}
