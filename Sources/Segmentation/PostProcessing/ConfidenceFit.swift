// SPDX-License-Identifier: Apache-2.0
//
// The confidence that training/fitting/fit_confidence.py fitted to a network's measures, from the `confidence` of the
// weight file's metadata.

package import Foundation
package import Imaging

/// From measures to the expected Dice of an answer: sigmoid(bias + sum of weight * logit(measure)).
///
/// No weight is negative, so that no confidence falls when a measure rises. An empty answer is right when nothing is
/// there; its confidence is the probability of that, fitted to the `absence` alone.
package struct ConfidenceFit: Sendable, Equatable {
    /// Why coefficients are refused.
    package struct Flaw: Error, Equatable, CustomStringConvertible {
        package let description: String
    }

    /// Terms of answers in which something was found, weights by the names of `AnswerMeasures.named`.
    private struct Found: Sendable, Equatable, Decodable {
        let bias: Double
        let weights: [String: Double]
    }

    /// Terms of empty answers.
    private struct Empty: Sendable, Equatable, Decodable {
        let bias: Double
        let weight: Double
    }

    private struct Coefficients: Decodable {
        let found: Found
        let empty: Empty?
    }

    private struct Facts: Decodable {
        let confidence: Coefficients?
    }

    /// Measures are cut to `edge`...1 - `edge` before their logit is taken.
    private static let edge = 1e-3

    private let found: Found
    private let empty: Empty?

    /// - Parameter facts: JSON whose member `confidence` holds the coefficients.
    /// - Returns: `nil` without such a member.
    package init?(facts: Data) throws(Flaw) {
        let parsed: Facts
        do {
            parsed = try JSONDecoder().decode(Facts.self, from: facts)
        } catch {
            throw Flaw(description: "the coefficients of the confidence cannot be read")
        }
        guard let coefficients = parsed.confidence else { return nil }
        (found, empty) = (coefficients.found, coefficients.empty)
        if let name = found.weights.keys.sorted().first(where: { !AnswerMeasures.names.contains($0) }) {
            throw Flaw(description: "the confidence was fitted to \(name), which is not measured")
        }
        let weights = Array(found.weights.values) + (empty.map { [$0.weight] } ?? [])
        guard weights.allSatisfy({ $0 >= 0 }) else {
            throw Flaw(description: "a weight of the confidence is negative")
        }
        // So that no sum overflows.
        guard ([found.bias, empty?.bias ?? 0] + weights).allSatisfy({ abs($0) <= 1000 }) else {
            throw Flaw(description: "a coefficient of the confidence is beyond 1000")
        }
    }

    package func value(_ measures: AnswerMeasures, isEmpty: Bool) -> Double {
        if isEmpty {
            guard let empty else { return measures.absence }
            return Self.sigmoid(empty.bias + empty.weight * Self.logit(measures.absence))
        }
        let named = measures.named
        // In the order of names: sums are the same from run to run.
        return Self.sigmoid(
            found.weights.sorted { $0.key < $1.key }.reduce(found.bias) {
                $0 + $1.value * Self.logit(named[$1.key] ?? 0)
            })
    }

    private static func sigmoid(_ value: Double) -> Double { 1 / (1 + exp(-value)) }

    private static func logit(_ value: Double) -> Double {
        let inside = min(max(value, edge), 1 - edge)
        return log(inside / (1 - inside))
    }
}

extension AnswerMeasures {
    /// As fitted, or without a fit agreement x foreground, x presence where that is known; of an empty answer the
    /// absence.
    package func confidence(_ fit: ConfidenceFit?, isEmpty: Bool) -> Confidence {
        Confidence(value: fit?.value(self, isEmpty: isEmpty) ?? plain(isEmpty: isEmpty), measures: named)
    }

    private func plain(isEmpty: Bool) -> Double {
        isEmpty ? absence : viewAgreement * meanForegroundProbability * (presence ?? 1)
    }
}
