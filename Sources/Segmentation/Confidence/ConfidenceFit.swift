// SPDX-License-Identifier: Apache-2.0
//
// The confidence that training/fitting/fit_confidence.py or fit_tracked_confidence.py fitted to a network's measures. A
// weight file's metadata holds the coefficients as `confidence`. A network that tracks also has `slice_confidence` and
// `frame_confidence`.

package import Foundation
package import Imaging

/// Computes the expected Dice of an answer from its measures: sigmoid(bias + sum of weight *
/// logit(measure)).
///
/// Weights are not negative, so a higher measure never lowers the confidence. An empty answer is right if the structure
/// is absent. Its confidence is the probability of absence, fitted to the measure `absence` alone.
package struct ConfidenceFit: Sendable, Equatable {
    /// The reason why coefficients are refused.
    package struct CoefficientError: Error, Equatable, CustomStringConvertible {
        /// The fault in the coefficients.
        package let description: String
    }

    /// The answers that a fit is for.
    ///
    /// The raw value is the name of the fit in the metadata.
    package enum Subject: String, Sendable, CodingKey {
        /// The answer for a frame or volume; of a network that tracks, for a whole volume.
        case whole = "confidence"
        /// The answer for one slice of a tracked volume.
        case slice = "slice_confidence"
        /// The answer for one frame of a tracked sequence.
        case frame = "frame_confidence"
    }

    /// Terms for masks that are not empty, with weights by the names of measures.
    private struct FoundTerms: Sendable, Equatable, Decodable {
        let bias: Double
        let weights: [String: Double]
    }

    /// Terms for empty masks.
    private struct EmptyTerms: Sendable, Equatable, Decodable {
        let bias: Double
        let weight: Double
    }

    private struct Coefficients: Decodable {
        let found: FoundTerms
        let empty: EmptyTerms?
    }

    /// The coefficients of each subject in the metadata.
    private struct Metadata: Decodable {
        let values: [Subject: Coefficients]

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Subject.self)
            var values = [Subject: Coefficients]()
            for subject in container.allKeys {
                values[subject] = try container.decodeIfPresent(Coefficients.self, forKey: subject)
            }
            self.values = values
        }
    }

    /// Measures are limited to `edge`...1 - `edge` before their logit is taken.
    private static let edge = 1e-3

    private let found: FoundTerms
    private let empty: EmptyTerms?

    /// Reads the coefficients from a weight file's metadata.
    ///
    /// The result is `nil` if the metadata does not hold coefficients for the subject.
    ///
    /// - Parameters:
    ///   - facts: JSON whose members hold the coefficients of each subject.
    ///   - subject: the answers that the fit is for.
    ///   - names: the measures that the recipe takes.
    /// - Throws: `CoefficientError`.
    package init?(
        facts: Data, subject: Subject = .whole, measures names: [String] = AnswerMeasures.names
    ) throws(CoefficientError) {
        let parsed: Metadata
        do {
            parsed = try JSONDecoder().decode(Metadata.self, from: facts)
        } catch {
            throw CoefficientError(description: "the coefficients of the confidence cannot be read")
        }
        guard let coefficients = parsed.values[subject] else { return nil }
        (found, empty) = (coefficients.found, coefficients.empty)
        if let name = found.weights.keys.sorted().first(where: { !names.contains($0) }) {
            throw CoefficientError(
                description: "the confidence was fitted to \(name), which the recipe does not measure")
        }
        let weights = Array(found.weights.values) + (empty.map { [$0.weight] } ?? [])
        guard weights.allSatisfy({ $0 >= 0 }) else {
            throw CoefficientError(description: "a weight of the confidence is negative")
        }
        // Sums of larger numbers could overflow.
        guard ([found.bias, empty?.bias ?? 0] + weights).allSatisfy({ abs($0) <= 1000 }) else {
            throw CoefficientError(description: "a coefficient of the confidence is beyond 1000")
        }
    }

    /// The confidence of an answer, 0...1.
    package func value(_ measures: AnswerMeasures, isEmpty: Bool) -> Double {
        isEmpty ? value(absence: measures.absence) : value(found: measures.named)
    }

    /// The confidence of an answer whose mask is not empty, 0...1.
    ///
    /// - Parameter measures: by name. A missing measure counts as 0.
    /// - Returns: the Dice that the answer is expected to reach.
    package func value(found measures: [String: Double]) -> Double {
        // Summed in the order of names, so that every run gives the same sum.
        Self.sigmoid(
            found.weights.sorted { $0.key < $1.key }.reduce(found.bias) {
                $0 + $1.value * Self.logit(measures[$1.key] ?? 0)
            })
    }

    /// The confidence of an empty answer, 0...1.
    ///
    /// - Parameter absence: the measured probability that the structure is absent, 0...1.
    /// - Returns: the fitted probability; `absence` itself without a fit for empty answers.
    package func value(absence: Double) -> Double {
        guard let empty else { return absence }
        return Self.sigmoid(empty.bias + empty.weight * Self.logit(absence))
    }

    /// Whether the confidence of a mask that is not empty depends on a measure.
    func needs(_ measure: String) -> Bool { found.weights[measure] != nil }

    /// Whether all measures are known that the confidence of a mask that is not empty depends on.
    func isComplete(_ measures: [String: Double]) -> Bool { found.weights.keys.allSatisfy { measures[$0] != nil } }

    private static func sigmoid(_ value: Double) -> Double { 1 / (1 + exp(-value)) }

    private static func logit(_ value: Double) -> Double {
        let inside = min(max(value, edge), 1 - edge)
        return log(inside / (1 - inside))
    }
}

extension AnswerMeasures {
    /// The confidence of an answer with its measures.
    ///
    /// Without a fit the value is the product of view agreement, mean foreground probability and
    /// presence, or the absence for an empty mask.
    ///
    /// - Parameters:
    ///   - fit: the fitted confidence, if the weights have one.
    ///   - isEmpty: whether the mask is empty.
    /// - Returns: a value of 0...1 with the measures.
    package func confidence(_ fit: ConfidenceFit?, isEmpty: Bool) -> Confidence {
        Confidence(value: fit?.value(self, isEmpty: isEmpty) ?? plain(isEmpty: isEmpty), measures: named)
    }

    private func plain(isEmpty: Bool) -> Double {
        isEmpty ? absence : viewAgreement * meanForegroundProbability * (presence ?? 1)
    }
}
