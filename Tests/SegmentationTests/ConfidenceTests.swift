// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Inference
import Segmentation
import Testing

/// Compares measures and confidence of answers with `training/recipes/confidence.py`.
///
/// `training/references/golden_confidence.py` writes the expected numbers.
@Suite struct ConfidenceTests {
    struct Facts: Decodable {
        struct Answer: Decodable {
            let presence: Double?
            let isEmpty: Bool
            let measures: [String: Double]
            let fitted: Double
            let plain: Double
        }

        let answers: [Answer]
    }

    static func fit(_ coefficients: String) throws -> ConfidenceFit? {
        try ConfidenceFit(facts: Data(#"{"name": "drawn", "confidence": \#(coefficients)}"#.utf8))
    }

    static func measures(_ all: Double) -> AnswerMeasures {
        var measures = AnswerMeasures(shape: [1, 1], probability: [1], mask: [1], views: [[1]], presence: all)
        measures.expectedDice = all
        measures.viewAgreement = all
        measures.boundaryCertainty = all
        measures.meanForegroundProbability = all
        measures.absence = all
        return measures
    }

    @Test func `drawn answers have the measures and confidence of training`() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
        let file = try SafeTensors(path: folder.appending(path: "confidence.safetensors").path)
        let text = try #require(file.metadata["kontur"])
        let answers = try JSONDecoder().decode(Facts.self, from: Data(text.utf8)).answers
        let fit = try #require(try ConfidenceFit(facts: Data(text.utf8)))
        #expect(answers.count > 5 && answers.contains { $0.isEmpty } && answers.contains { $0.presence == nil })
        for (index, expected) in answers.enumerated() {
            let tensor = try file.tensor("\(index).views")
            let (shape, count) = (Array(tensor.shape.dropFirst()), tensor.shape[0])
            let size = shape.reduce(1, *)
            let views = (0..<count).map { Array(tensor.values[$0 * size..<($0 + 1) * size]) }
            let mean = (0..<size).map { point in views.reduce(0) { $0 + $1[point] } / Float(count) }
            func mask(_ values: [Float]) -> [UInt8] { values.map { $0 >= 0.5 ? 1 : 0 } }
            let found = AnswerMeasures(
                shape: shape, probability: mean, mask: mask(mean), views: views.map(mask), presence: expected.presence)
            var named = found.named
            named["absence"] = found.absence
            #expect(Set(named.keys) == Set(expected.measures.keys))
            for (name, value) in expected.measures {
                #expect(abs((named[name] ?? -1) - value) < 1e-5, "\(name) of \(index)")
            }
            #expect(abs(found.confidence(fit, isEmpty: expected.isEmpty).value - expected.fitted) < 1e-5)
            #expect(abs(found.confidence(nil, isEmpty: expected.isEmpty).value - expected.plain) < 1e-5)
        }
    }

    @Test(arguments: [
        \AnswerMeasures.expectedDice, \.viewAgreement, \.boundaryCertainty, \.meanForegroundProbability,
    ])
    func `a higher measure never lowers the confidence`(
        measure: WritableKeyPath<AnswerMeasures, Double> & Sendable
    ) throws {
        let fit = try Self.fit(
            """
            {"found": {"bias": -1, "weights": {"expectedDice": 0.8, "viewAgreement": 0.4, "boundaryCertainty": 0.1,
            "meanForegroundProbability": 0, "presence": 0.3}}, "empty": {"bias": 1, "weight": 0.5}}
            """)
        for fit in [fit, nil] {
            for isEmpty in [false, true] {
                let values = stride(from: 0, through: 1, by: 0.01).map { value in
                    var measures = Self.measures(0.7)
                    measures[keyPath: measure] = value
                    return measures.confidence(fit, isEmpty: isEmpty).value
                }
                #expect(zip(values, values.dropFirst()).allSatisfy { $0 <= $1 })
            }
        }
    }

    @Test func `the confidence of an empty answer rises with the probability that the structure is absent`() throws {
        let fit = try Self.fit(#"{"found": {"bias": 0, "weights": {}}, "empty": {"bias": 1, "weight": 0.5}}"#)
        let values = stride(from: 0, through: 1, by: 0.01).map { absence in
            var measures = Self.measures(0.2)
            measures.absence = absence
            return measures.confidence(fit, isEmpty: true).value
        }
        #expect(zip(values, values.dropFirst()).allSatisfy { $0 <= $1 } && values[0] < values[100])
        let without = try Self.fit(#"{"found": {"bias": 0, "weights": {}}}"#)
        #expect(Self.measures(0.25).confidence(without, isEmpty: true).value == 0.25)
    }

    @Test(arguments: [-1e300, -0.1, 0, 1, 1.1, 1e300, .infinity, -.infinity])
    func `measures out of range give a confidence from 0 to 1`(value: Double) throws {
        let fit = try Self.fit(
            """
            {"found": {"bias": 900, "weights": {"expectedDice": 900, "presence": 1000}},
            "empty": {"bias": -900, "weight": 1000}}
            """)
        for isEmpty in [false, true] {
            let found = Self.measures(value).confidence(fit, isEmpty: isEmpty).value
            #expect((0...1).contains(found))
        }
    }

    @Test(arguments: [
        (
            #"{"found": {"bias": 0, "weights": {"flipAgreement": 1}}}"#,
            "fitted to flipAgreement, which the recipe does not measure"
        ),
        (#"{"found": {"bias": 0, "weights": {"expectedDice": -0.1}}}"#, "a weight of the confidence is negative"),
        (#"{"found": {"bias": 0, "weights": {}}, "empty": {"bias": 0, "weight": -1}}"#, "is negative"),
        (#"{"found": {"bias": 1001, "weights": {}}}"#, "beyond 1000"),
        (#"{"found": {"bias": 0, "weights": {"presence": 1e300}}}"#, "beyond 1000"),
        (#"{"found": {"weights": {}}}"#, "cannot be read"), ("0.5", "cannot be read"),
    ])
    func `coefficients that cannot be used are refused with the reason`(text: String, reason: String) {
        #expect { try Self.fit(text) } throws: { "\($0)".contains(reason) }
    }

    @Test func `a file without coefficients does not have a fit`() throws {
        #expect(try ConfidenceFit(facts: Data(#"{"name": "drawn"}"#.utf8)) == nil)
    }
}
