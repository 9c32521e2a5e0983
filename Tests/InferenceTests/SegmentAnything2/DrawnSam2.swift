// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Testing

/// A scaled-down SAM 2 with drawn weights, and the reference's answers from training/references/golden_sam2.py.
struct DrawnSam2 {
    struct Facts: Decodable {
        struct Question: Decodable {
            let points: [[Float]]?
            let box: [Float]?
            let mask: Bool?
            let multimask: Bool
        }

        /// What a frame attended to: memories are [frame, temporal index], pointers are [frame, distance].
        struct Selection: Decodable {
            let memories: [[Int]]
            let pointers: [[Int]]
        }

        let shapes: [String: [Int]]
        let factors: [String: Float]
        let strides: [String: Int]
        let prompts: [String: Question]
        /// By recipe, pass and frame.
        let memories: [String: Selection]
        /// The error of PyTorch's bf16 autocast against its fp32: norm of the difference divided by the norm.
        let bf16: [String: Double]
        let size: Int
        let frames: Int
        let key: Int
        let box: [Float]
        let secondBox: [Float]
        let points: [[Float]]
        let recipes: [String]
    }

    static let names = ["sam2_1", "sam2_0"]
    /// The trunk of the scaled-down networks.
    static let architecture = HieraArchitecture(
        width: 16, heads: 1, stages: [1, 2, 3, 2], globalBlocks: [4], windows: [8, 4, 14, 7])

    let golden: Golden
    let facts: Facts

    init(_ name: String) throws {
        golden = try Golden(name)
        facts = try golden.facts(Facts.self)
    }

    func weights(change: (String, [Float]) -> [Float]? = { $1 }) throws -> SafeTensors {
        var fitted = [String: [Float]]()
        for name in golden.file.names where name.hasPrefix("weights.") {
            fitted[String(name.dropFirst("weights.".count))] = try golden.file.tensor(name).values
        }
        return try DrawnWeights.checkpoint(facts.shapes) { name, values in
            let factor = facts.factors[name] ?? 1
            return change(name, fitted[name] ?? values.map { $0 * factor })
        }
    }

    func network(
        _ precision: Precision = .fp32, change: (String, [Float]) -> [Float]? = { $1 }
    ) throws -> SegmentAnything2 {
        try SegmentAnything2(
            weights(change: change), precision: precision, inputSize: facts.size, architecture: Self.architecture)
    }

    /// A frame, `[1, size, size, 3]`: a disc that moves and shrinks, coarse and fine noise.
    func frame(_ index: Int) -> Tensor {
        let (size, step) = (facts.size, index - facts.key)
        let radius = 26 - 2 * abs(step)
        let coarse = DrawnWeights.bits("coarse.\(index)", 64) { Float($0 >> 58) }
        let fine = DrawnWeights.bits("fine.\(index)", size * size) { Float($0 >> 59) }
        let (mean, deviation): ([Float], [Float]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        var values = [Float]()
        for y in 0..<size {
            for x in 0..<size {
                let (dx, dy) = (x - 58 - 2 * step, y - 54 + step)
                let body: Float = dx * dx + dy * dy < radius * radius ? 150 : 40
                let grey = body + coarse[y / 16 * 8 + x / 16] + fine[y * size + x]
                for channel in 0..<3 { values.append((grey / 255 - mean[channel]) / deviation[channel]) }
            }
        }
        return Tensor(shape: [1, size, size, 3], values: values)
    }

    func prompt(_ name: String) throws -> (prompt: Prompt, multimask: Bool) {
        let question = try #require(facts.prompts[name])
        var prompt = Prompt(points: (question.points ?? []).map(Self.point), box: question.box.map(Self.box))
        if question.mask == true {
            let side = facts.size / 4
            prompt.mask = Tensor(shape: [1, side, side, 1], values: DrawnWeights.normal("mask", side * side, 10))
        }
        return (prompt, question.multimask)
    }

    static func point(_ values: [Float]) -> PromptPoint {
        PromptPoint(x: values[0], y: values[1], label: values[2] == 1 ? .foreground : .background)
    }

    static func box(_ corners: [Float]) -> PromptBox {
        PromptBox(x0: corners[0], y0: corners[1], x1: corners[2], y1: corners[3])
    }

    /// A mask prompt of 96 x 80 pixels: a disc.
    static let disc = (0..<96 * 80).map { index in
        let (y, x) = (index / 80, index % 80)
        return (x - 36) * (x - 36) + (y - 40) * (y - 40) < 400
    }

    /// Every n-th value, as the golden file keeps them.
    func sample(_ values: [Float], _ kind: String) throws -> [Float] {
        let step = try #require(facts.strides[kind])
        return stride(from: 0, to: values.count, by: step).map { values[$0] }
    }
}

/// The passes of a recipe: what the tracker says about every frame, in order.
struct DrawnTrack {
    struct Step {
        /// The pass and the frame, such as `forward.7`.
        let name: String
        let frame: TrackedFrame
        let memory: [Float]
        let pointer: [Float]
        /// The image embedding with memories.
        let conditioned: [Float]?
    }

    private(set) var steps = [Step]()
    /// The file whose memories and pointers replace those of the tracker, for tests of bf16.
    private let kept: SafeTensors?

    /// Runs a recipe of golden_sam2.py.
    init(
        _ recipe: String, _ drawn: DrawnSam2, _ network: SegmentAnything2,
        options: ObjectTracker.Options = .init(), keepsReference: Bool = false
    ) throws {
        kept = keepsReference ? drawn.golden.file : nil
        let tracker = ObjectTracker(network, frameCount: drawn.facts.frames, options: options) {
            try network.encode(drawn.frame($0))
        }
        var images = [Int: [Float]]()
        tracker.onImage = { images[$0] = $1 }
        try Self.prompt(tracker, recipe, drawn)
        if recipe == "two" {
            _ = try tracker.prompt(Prompt(box: DrawnSam2.box(drawn.facts.secondBox)), frame: drawn.facts.key + 3)
        }
        try run("forward", recipe, tracker, images: { images[$0] })
        if recipe == "correction" {
            let frame = drawn.facts.key + 2
            let answer = try tracker.prompt(Prompt(points: drawn.facts.points.map(DrawnSam2.point)), frame: frame)
            let pointer = try #require(tracker.stored(frame)).pointer
            // The reference encodes the memory of a click later.
            steps.append(
                Step(name: "click.\(frame)", frame: answer, memory: [], pointer: pointer, conditioned: nil))
            try run("again", recipe, tracker, from: drawn.facts.key + 3, atMost: 2, images: { images[$0] })
        }
        if recipe == "reset" {
            tracker.reset()
            try Self.prompt(tracker, recipe, drawn)
        }
        if ["continue", "reset", "two"].contains(recipe) {
            try run("reverse", recipe, tracker, isReverse: true, images: { images[$0] })
        }
    }

    private static func prompt(_ tracker: ObjectTracker, _ recipe: String, _ drawn: DrawnSam2) throws {
        switch recipe {
        case "mask": _ = try tracker.prompt(mask: DrawnSam2.disc, height: 96, width: 80, frame: drawn.facts.key)
        case "point":
            let point = DrawnSam2.point(drawn.facts.points[0])
            _ = try tracker.prompt(Prompt(points: [point]), frame: drawn.facts.key)
        default: _ = try tracker.prompt(Prompt(box: DrawnSam2.box(drawn.facts.box)), frame: drawn.facts.key)
        }
    }

    private mutating func run(
        _ pass: String, _ recipe: String, _ tracker: ObjectTracker, isReverse: Bool = false, from start: Int? = nil,
        atMost most: Int? = nil, images: (Int) -> [Float]?
    ) throws {
        var found = [Step]()
        try tracker.track(isReverse: isReverse, from: start, atMost: most) { frame in
            let stored = try #require(tracker.stored(frame.frame))
            found.append(
                Step(
                    name: "\(pass).\(frame.frame)", frame: frame, memory: stored.memory, pointer: stored.pointer,
                    conditioned: images(frame.frame)))
            guard let kept else { return true }
            for other in 0..<tracker.frameCount {
                let name = "track.\(recipe).\(pass).\(other)"
                guard kept.shape(of: "\(name).memory") != nil else { continue }
                tracker.replaceStored(
                    other, memory: try kept.tensor("\(name).memory").values,
                    pointer: try kept.tensor("\(name).pointer").values)
            }
            return true
        }
        steps += found
    }
}
