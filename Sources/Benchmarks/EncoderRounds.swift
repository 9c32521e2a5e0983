// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference

/// The contender that `conformance/bench_encoder.py` measures: loads a network once, says `ready`, and for every line of
/// standard input does its work once and answers with the seconds that took. `layers` answers with the seconds of every
/// kind of layer in all rounds so far, as JSON, `bare` with the operations a second of a loop that fetches nothing.
enum EncoderRounds {
    enum Work: String {
        /// The image encoder, on noise.
        case encoder
        /// One prompt on an embedding that is at hand.
        case prompt
        /// An automatic run of 1024 points, the encoder included.
        case automatic
    }

    static func serve(_ work: Work, weights path: String) throws {
        try Compute.startWithAnyThreads()
        let network = try SegmentAnything(try SafeTensors(path: path), precision: Compute.precision())
        let size = network.inputSize
        let input = Tensor(shape: [1, size, size, 3], values: noise(size * size * 3))
        let generator = try AutomaticMaskGenerator(network)
        var embedding: ImageEmbedding?
        if work == .prompt { embedding = try network.embed(input) }
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
                let duration = try ContinuousClock().measure {
                    switch work {
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

    /// The same numbers every time, deviation about 1, by a linear congruential generator (Knuth's MMIX constants).
    private static func noise(_ count: Int) -> [Float] {
        var state: UInt64 = 7
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (Float(state >> 40) / Float(1 << 24) - 0.5) * 3.46
        }
    }
}
