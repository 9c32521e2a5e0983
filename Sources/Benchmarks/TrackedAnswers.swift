// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference

/// Answers of SAM 2, which `training/references/exact_sam2.py` compares with the reference.
///
/// The folder holds `weights.safetensors` and `question.safetensors`. The question has tensors `frames`,
/// `[frames, 3, size, size]`, `mask`, the mask prompt of an image, and `given`, the mask of a prompted frame. JSON under
/// the metadata key `kontur` has the prompts and the recipes. A tensor `<recipe>.<pass>.<frame>.memory` and its pointer
/// replace what the tracker stored for the frame.
///
/// The answers are raw fp32: `stage.<level>.f32` with channels last, `image.<prompt>.logits.f32` and `.iou.f32`, and
/// `<recipe>.<pass>.<frame>.<value>.f32`. `selections.json` lists what every frame attended to.
struct TrackedAnswers {
    private struct ReferenceQuestion: Decodable {
        struct AskedPrompt: Decodable {
            let points: [[Float]]?
            let box: [Float]?
            let mask: Bool?
            let multimask: Bool
        }

        let prompts: [String: AskedPrompt]
        let precision: String
        let recipes: [String]
        let size: Int
        let key: Int
        let box: [Float]
        let secondBox: [Float]
        let points: [[Float]]
    }

    /// What a frame attended to: memories are [frame, temporal index], pointers are [frame, distance].
    private struct Selection: Encodable {
        let memories: [[Int]]
        let pointers: [[Int]]
    }

    private let folder: String
    private let file: SafeTensors
    private let question: ReferenceQuestion
    private let network: SegmentAnything2
    private let frames: [Tensor]
    private var features: [FrameFeatures] = []
    private var selections: [String: Selection] = [:]

    /// Reads the question in `folder` and writes the answers there.
    static func answer(folder: String) throws {
        try Compute.startWithAnyThreads()
        var answers = try TrackedAnswers(folder: folder)
        try answers.answerImage()
        for recipe in answers.question.recipes { try answers.track(recipe) }
        let json = try JSONEncoder().encode(answers.selections)
        try json.write(to: URL(filePath: "\(folder)/selections.json"))
    }

    private init(folder: String) throws {
        self.folder = folder
        file = try SafeTensors(path: "\(folder)/question.safetensors")
        question = try JSONDecoder().decode(
            ReferenceQuestion.self, from: Data((file.metadata["kontur"] ?? "").utf8))
        network = try SegmentAnything2(
            SafeTensors(path: "\(folder)/weights.safetensors"),
            precision: Precision(rawValue: question.precision) ?? .fp32, inputSize: question.size)
        let all = try file.tensor("frames")
        let count = all.count / all.shape[0]
        frames = (0..<all.shape[0]).map { index in
            Tensor(shape: [1] + all.shape.dropFirst(), values: Array(all.values[index * count..<(index + 1) * count]))
                .channelsLast()
        }
    }

    private func write(_ values: [Float], _ name: String) throws {
        try values.withUnsafeBytes { Data($0) }.write(to: URL(filePath: "\(folder)/\(name).f32"))
    }

    private mutating func answerImage() throws {
        features = try frames.map { try network.encode($0) }
        var levels = [String: Tensor]()
        let key = try network.encode(frames[question.key]) { levels[$0] = $1 }
        (levels["s0"], levels["s1"], levels["vision"]) = (key.s0, key.s1, key.vision)
        for (level, output) in levels { try write(output.values, "stage.\(level)") }
        for (name, asked) in question.prompts {
            let prompt = Prompt(
                points: (asked.points ?? []).map(Self.point), box: asked.box.map(Self.box),
                mask: asked.mask == true ? try file.tensor("mask").channelsLast() : nil)
            let answer = try network.decode(key, prompt, multimask: asked.multimask)
            try write(answer.logits.values, "image.\(name).logits")
            try write(answer.predictedIoU, "image.\(name).iou")
        }
    }

    private mutating func track(_ recipe: String) throws {
        let tracker = ObjectTracker(network, frameCount: frames.count) { [features] in features[$0] }
        try prompt(tracker, recipe)
        if recipe == "two" {
            _ = try tracker.prompt(Prompt(box: Self.box(question.secondBox)), frame: question.key + 3)
        }
        try run("\(recipe).forward", tracker, isReverse: false)
        if recipe == "reset" {
            tracker.reset()
            try prompt(tracker, recipe)
        }
        if ["continue", "reset", "two"].contains(recipe) { try run("\(recipe).reverse", tracker, isReverse: true) }
    }

    private func prompt(_ tracker: ObjectTracker, _ recipe: String) throws {
        switch recipe {
        case "mask":
            let mask = try file.tensor("given")
            _ = try tracker.prompt(
                mask: mask.values.map { $0 > 0.5 }, height: mask.shape[0], width: mask.shape[1], frame: question.key)
        case "point":
            _ = try tracker.prompt(Prompt(points: [Self.point(question.points[0])]), frame: question.key)
        default: _ = try tracker.prompt(Prompt(box: Self.box(question.box)), frame: question.key)
        }
    }

    private mutating func run(_ pass: String, _ tracker: ObjectTracker, isReverse: Bool) throws {
        try tracker.track(isReverse: isReverse) { frame in
            let name = "\(pass).\(frame.frame)"
            try write(frame.logits.values, "\(name).low_res")
            try write([frame.objectScore], "\(name).score")
            if let stored = tracker.stored(frame.frame) {
                try write(stored.memory, "\(name).memory")
                try write(stored.pointer, "\(name).pointer")
            }
            if let selection = frame.selection {
                selections[name] = Selection(
                    memories: selection.memories.map { [$0.frame, $0.temporalIndex] },
                    pointers: selection.pointers.map { [$0.frame, $0.distance] })
            }
            for other in frames.indices where file.shape(of: "\(pass).\(other).memory") != nil {
                tracker.replaceStored(
                    other, memory: try file.tensor("\(pass).\(other).memory").values,
                    pointer: try file.tensor("\(pass).\(other).pointer").values)
            }
            return true
        }
    }

    private static func point(_ values: [Float]) -> PromptPoint {
        PromptPoint(x: values[0], y: values[1], label: values[2] == 1 ? .foreground : .background)
    }

    private static func box(_ corners: [Float]) -> PromptBox {
        PromptBox(x0: corners[0], y0: corners[1], x1: corners[2], y1: corners[3])
    }
}
