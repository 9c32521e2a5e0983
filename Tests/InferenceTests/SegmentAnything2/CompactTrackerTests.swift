// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Testing

/// The shipped medsam2-compact, and PyTorch's answers from training/references/golden_tracker.py.
private struct ShippedTracker {
    struct Facts: Decodable {
        struct PromptedFrame: Decodable {
            let frame: Int
            let box: [Float]
        }

        /// SHA-256 of the weights that the numbers belong to.
        let weights: String
        let strides: [String: Int]
        /// The error of PyTorch's bf16 autocast against its fp32: norm of the difference divided by the norm.
        let bf16: [String: Double]
        let frames: Int
        let key: Int
        let size: Int
        let recipes: [String: [PromptedFrame]]
    }

    let golden: Golden
    let facts: Facts
    let weights: SafeTensors

    init() throws {
        golden = try Golden("medsam2_compact")
        facts = try golden.facts(Facts.self)
        let folder = (0..<4).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }
            .appending(path: "Sources/CWeights/files")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        let name = try #require(names.first { $0.hasPrefix("medsam2-compact-") })
        weights = try SafeTensors(path: folder.appending(path: name).path)
        #expect(weights.sha256 == facts.weights, "run python -m training.references.golden_tracker")
    }

    /// The network; tensors whose names end with `missing` are 0.
    func network(_ precision: Precision = .fp32, without missing: String? = nil) throws -> SegmentAnything2 {
        guard let missing else { return try SegmentAnything2(weights, precision: precision) }
        let shapes = Dictionary(uniqueKeysWithValues: weights.names.map { ($0, weights.shape(of: $0) ?? []) })
        let changed = try DrawnWeights.checkpoint(shapes) { name, _ in
            guard let values = try? weights.tensor(name).values else { return nil }
            return name.hasSuffix(missing) ? values.map { _ in 0 } : values
        }
        return try SegmentAnything2(changed, precision: precision)
    }

    /// A frame, `[1, size, size, 3]`: a disc that moves, shrinks and goes away, and noise.
    func frame(_ index: Int) -> Tensor {
        let (size, step) = (facts.size, index - facts.key)
        let radius = max(52 - 6 * abs(step), 0)
        let fine = DrawnWeights.bits("tracked.\(index)", size * size) { Float($0 >> 59) }
        let (mean, deviation): ([Float], [Float]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        var values = [Float]()
        for y in 0..<size {
            for x in 0..<size {
                let (dx, dy) = (x - 126 - 3 * step, y - 120 + 2 * step)
                let grey = (dx * dx + dy * dy < radius * radius ? 150 : 50) + fine[y * size + x]
                for channel in 0..<3 { values.append((grey / 255 - mean[channel]) / deviation[channel]) }
            }
        }
        return Tensor(shape: [1, size, size, 3], values: values)
    }

    /// Tracks a recipe of golden_tracker.py and compares every frame with PyTorch's.
    ///
    /// - Returns: the largest error of each kind of value, and that of all logits of frames with the object.
    func errors(_ recipe: String, _ network: SegmentAnything2) throws -> (worst: [String: Double], logits: Double) {
        let features = try (0..<facts.frames).map { try network.encode(frame($0)) }
        let tracker = ObjectTracker(network, frameCount: facts.frames) { features[$0] }
        let prompts = try #require(facts.recipes[recipe])
        var (worst, logits, reference) = ([String: Double](), [Float](), [Float]())
        for isReverse in [false, true] {
            tracker.reset()
            for prompt in prompts {
                _ = try tracker.prompt(Prompt(box: DrawnSam2.box(prompt.box)), frame: prompt.frame)
            }
            try tracker.track(isReverse: isReverse) { frame in
                let stored = try #require(tracker.stored(frame.frame))
                let values = [
                    "low_res": frame.logits.values, "score": [frame.objectScore], "iou": [frame.predictedIoU],
                    "pointer": stored.pointer, "memory": stored.memory,
                ]
                for (kind, all) in values {
                    let step = try #require(facts.strides[kind])
                    let kept = stride(from: 0, to: all.count, by: step).map { all[$0] }
                    let expected = try golden.file.tensor("track.\(recipe).\(frame.frame).\(kind)").values
                    // Scores lie on both sides of 0, so their differences are not relative.
                    let found = kind == "score" ? Double(abs(kept[0] - expected[0])) : error(kept, expected)
                    worst[kind] = max(worst[kind] ?? 0, found)
                    if kind == "low_res", frame.objectScore > 0, expected.contains(where: { $0 > -1024 }) {
                        (logits, reference) = (logits + kept, reference + expected)
                    }
                }
                return true
            }
        }
        return (worst, error(logits, reference))
    }
}

extension InferenceSuites {
    /// Compares the shipped medsam2-compact with training/networks/tracker.py.
    ///
    /// An input changed by 1e-6 moves features and logits by less than 2e-6, scores by 1e-5, and memories, which are
    /// rounded to bf16, by 2e-4. Scores may differ by 1e-3.
    @Suite struct CompactTrackerTests {
        init() throws { try Compute.startWithAnyThreads() }

        @Test func `every level of the features is PyTorch's`() throws {
            let shipped = try ShippedTracker()
            let network = try shipped.network()
            #expect(network.inputSize == 256 && network.embeddingSize == 16 && network.lowResolutionSize == 64)
            var outputs = [String: Tensor]()
            let features = try network.encode(shipped.frame(shipped.facts.key)) { outputs[$0] = $1 }
            (outputs["s0"], outputs["s1"], outputs["vision"]) = (features.s0, features.s1, features.vision)
            #expect(outputs.count == 7)
            for (name, output) in outputs {
                let step = try #require(shipped.facts.strides["stage.\(name)"])
                let kept = stride(from: 0, to: output.count, by: step).map { output.values[$0] }
                let expected = try shipped.golden.file.tensor("stage.\(name)").values
                #expect(error(kept, expected) < 2e-5, "\(name) \(error(kept, expected))")
            }
        }

        @Test(arguments: ["one", "two"])
        func `every tracked frame has PyTorch's mask, score, pointer and memory`(recipe: String) throws {
            let shipped = try ShippedTracker()
            let found = try shipped.errors(recipe, shipped.network()).worst
            for (kind, limit) in ["low_res": 5e-5, "score": 1e-3, "iou": 5e-5, "pointer": 5e-5, "memory": 2e-3] {
                #expect(try #require(found[kind]) < limit, "\(kind) \(found[kind] ?? -1)")
            }
        }

        /// The temporal codes are not among the parts: these weights hardly use them. The drawn networks' tests do.
        @Test(arguments: [
            "cross_attn_image.out_proj.weight", "memory_encoder.out_proj.weight", "obj_ptr_tpos_proj.weight",
            "conv_s0.weight",
        ])
        func `without a part of the network the same comparison fails`(part: String) throws {
            let shipped = try ShippedTracker()
            let found = try shipped.errors("one", shipped.network(without: part)).worst
            #expect(try #require(found["low_res"]) > 5e-5, "\(found)")
        }

        @Test(.needsBF16) func `in bf16 the error is at most 1.2 times that of PyTorch's autocast`() throws {
            let shipped = try ShippedTracker()
            for recipe in ["one", "two"] {
                let limit = 1.2 * (try #require(shipped.facts.bf16[recipe]))
                let found = try shipped.errors(recipe, shipped.network(.bf16)).logits
                #expect(found < limit, "\(recipe) \(found) \(limit)")
            }
        }

        @Test func `a file without one of the trunk's tensors names it`() throws {
            let shipped = try ShippedTracker()
            let missing = "image_encoder.trunk.decoder.1.project.conv.weight"
            let names = shipped.weights.names.filter { $0 != missing }
            let shapes = Dictionary(uniqueKeysWithValues: names.map { ($0, shipped.weights.shape(of: $0) ?? []) })
            #expect(throws: WeightFileError.missing(missing)) {
                try SegmentAnything2(DrawnWeights.checkpoint(shapes), precision: .fp32)
            }
        }
    }
}
