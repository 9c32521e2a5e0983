// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Platform

/// Answers of a full-size network, which `training/references/exact_sam.py` compares with the reference.
///
/// The folder holds `weights.safetensors` and `question.safetensors`. The question has a tensor `input`,
/// `[1, 3, size, size]`, and JSON with prompts and the precision under the metadata key `kontur`. The answers are raw
/// fp32 in PyTorch's order: `embedding.f32`, and `<prompt>.logits.f32` and `<prompt>.iou.f32` for every prompt. Seconds
/// and memory go to standard output.
enum SegmentAnythingAnswers {
    private struct ReferenceQuestion: Decodable {
        struct AskedPrompt: Decodable {
            let points: [[Float]]?
            let box: [Float]?
            let mask: Bool?
            let multimask: Bool
        }

        let prompts: [String: AskedPrompt]
        let precision: String
        /// How often the image is embedded, to see that the memory does not grow.
        let repeats: Int
    }

    /// Reads the question in `folder` and writes the answers there.
    static func answer(folder: String) throws {
        try Compute.startWithAnyThreads()
        let file = try SafeTensors(path: "\(folder)/question.safetensors")
        let question = try JSONDecoder().decode(
            ReferenceQuestion.self, from: Data((file.metadata["kontur"] ?? "").utf8))
        let input = try file.tensor("input").channelsLast()
        var network: SegmentAnything?
        let precision = Precision(rawValue: question.precision) ?? .fp32
        let load = try MonotonicClock.measure {
            network = try SegmentAnything(
                SafeTensors(path: "\(folder)/weights.safetensors"), precision: precision, inputSize: input.shape[1])
        }
        guard let network else { return }
        print("load: \(load)")
        network.encoderTimes = LayerTimes()
        var embedding = try network.embed(input)
        for _ in 1..<max(question.repeats, 1) {
            let before = network.encoderTimes?.seconds ?? [:]
            let duration = try MonotonicClock.measure { embedding = try network.embed(input) }
            print("embed: \(duration), resident \(resident()) kB")
            for (kind, seconds) in (network.encoderTimes?.seconds ?? [:]).sorted(by: {
                $0.key.rawValue < $1.key.rawValue
            }) {
                print("    \(kind.rawValue): \(String(format: "%.3f", seconds - (before[kind] ?? 0))) s")
            }
        }
        try write(embedding.values.channelsFirst().values, "\(folder)/embedding.f32")
        for (name, asked) in question.prompts.sorted(by: { $0.key < $1.key }) {
            let prompt = Prompt(
                points: (asked.points ?? []).map {
                    PromptPoint(x: $0[0], y: $0[1], label: $0[2] == 1 ? .foreground : .background)
                },
                box: asked.box.map { PromptBox(x0: $0[0], y0: $0[1], x1: $0[2], y1: $0[3]) },
                mask: asked.mask == true ? try file.tensor("mask").channelsLast() : nil)
            var answers = [PromptAnswer]()
            let duration = try MonotonicClock.measure {
                answers = try network.decode(embedding, [prompt], multimask: asked.multimask)
            }
            print("\(name): \(duration)")
            try write(answers[0].logits.values, "\(folder)/\(name).logits.f32")
            try write(answers[0].predictedIoU, "\(folder)/\(name).iou.f32")
        }
        let points = (0..<64).map { Prompt(points: [PromptPoint(x: Float($0 * 4), y: Float(250 - $0 * 3))]) }
        for count in [1, 1, 1, 64] {
            let duration = try MonotonicClock.measure {
                _ = try network.decode(embedding, Array(points.prefix(count)), multimask: true)
            }
            print("\(count) points at once: \(duration)")
        }
        print("peak: \(peak()) kB")
    }

    private static func write(_ values: [Float], _ path: String) throws {
        try values.withUnsafeBytes { Data($0) }.write(to: URL(filePath: path))
    }

    private static let processID = ProcessInfo.processInfo.processIdentifier

    /// The resident memory in kB.
    private static func resident() -> Int { (ProcessUsage(processID: processID)?.residentMemory ?? 0) >> 10 }

    /// The largest resident memory so far in kB.
    private static func peak() -> Int { (ProcessUsage.peak(processID: processID) ?? 0) >> 10 }
}
