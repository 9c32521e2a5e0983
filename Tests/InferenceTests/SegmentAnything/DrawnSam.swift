// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Testing

/// A scaled-down network with drawn weights, and the reference's answers from
/// training/references/golden_sam.py.
struct DrawnSam {
    struct Facts: Decodable {
        struct Question: Decodable {
            let points: [[Float]]?
            let box: [Float]?
            let mask: Bool?
            let multimask: Bool
        }

        let shapes: [String: [Int]]
        let strides: [String: Int]
        let prompts: [String: Question]
        /// The error of PyTorch's bf16 autocast against its fp32: norm of the difference divided by
        /// the norm.
        let bf16: [String: Double]
        let size: Int
        let grid: Int
    }

    static let names = withPositions + ["sam_convolutional"]
    /// The networks whose image encoder has relative positions.
    static let withPositions = ["sam_vit", "sam_tiny_vit"]

    let golden: Golden
    let facts: Facts

    init(_ name: String) throws {
        golden = try Golden(name)
        facts = try golden.facts(Facts.self)
    }

    func weights(change: (String, [Float]) -> [Float]? = { $1 }) throws -> SafeTensors {
        try DrawnWeights.checkpoint(facts.shapes, change: change)
    }

    func network(_ precision: Precision = .fp32) throws -> SegmentAnything {
        try SegmentAnything(weights(), precision: precision, inputSize: facts.size)
    }

    /// `[1, size, size, 3]`.
    var picture: Tensor {
        let (size, coarse) = (facts.size, facts.size / 16)
        let blocks = DrawnWeights.normal("picture.coarse", 3 * coarse * coarse, 1)
        let fine = DrawnWeights.normal("picture.fine", 3 * size * size, 0.5)
        let values = fine.indices.map { index in
            let (channel, y, x) = (index / size / size, index / size % size, index % size)
            return fine[index] + blocks[(channel * coarse + y / 16) * coarse + x / 16]
        }
        return Tensor(shape: [1, 3, size, size], values: values).channelsLast()
    }

    func prompt(_ name: String) throws -> (prompt: Prompt, multimask: Bool) {
        let question = try #require(facts.prompts[name])
        let size = Float(facts.size)
        var prompt = Prompt(
            points: (question.points ?? []).map {
                PromptPoint(x: $0[0] * size, y: $0[1] * size, label: $0[2] == 1 ? .foreground : .background)
            })
        prompt.box = question.box.map {
            PromptBox(x0: $0[0] * size, y0: $0[1] * size, x1: $0[2] * size, y1: $0[3] * size)
        }
        if question.mask == true {
            let side = 4 * facts.grid
            prompt.mask = Tensor(shape: [1, side, side, 1], values: DrawnWeights.normal("mask", side * side, 10))
        }
        return (prompt, question.multimask)
    }

    /// The reference's embedding, channels last.
    func embedding() throws -> ImageEmbedding {
        ImageEmbedding(values: try golden.file.tensor("embedding").channelsLast())
    }
}

/// The norm of the difference divided by the reference's norm.
func error(_ found: [Float], _ reference: [Float]) -> Double {
    guard found.count == reference.count else { return .infinity }
    var (difference, norm) = (0.0, 0.0)
    for (x, y) in zip(found, reference) {
        difference += Double(x - y) * Double(x - y)
        norm += Double(y) * Double(y)
    }
    return (difference / norm).squareRoot()
}
