// SPDX-License-Identifier: Apache-2.0
//
// What an answer says about itself, as training/scores.py defines it for the model cards.

internal import Imaging

/// Confidence from the views (flips, shifts) whose probabilities were averaged into one answer.
///
/// `meanForegroundProbability`: the mean probability inside the mask; for an empty mask 1 - the largest probability.
/// `viewAgreement`: the mean Dice of the mask with the masks of the single views. The value is their product.
enum Agreement {
    static func confidence(
        mask: some Collection<UInt8>, probability: some Collection<Float>, agreement: Double
    ) -> Confidence {
        var (sum, count) = (0.0, 0)
        var largest: Float = 0
        for (inside, value) in zip(mask, probability) {
            largest = max(largest, value)
            if inside != 0 {
                sum += Double(value)
                count += 1
            }
        }
        let foreground = count > 0 ? sum / Double(count) : 1 - Double(largest)
        return confidence(foreground: foreground, agreement: agreement)
    }

    static func confidence(foreground: Double, agreement: Double) -> Confidence {
        let foreground = min(max(foreground, 0), 1)
        return Confidence(
            value: foreground * agreement,
            measures: ["meanForegroundProbability": foreground, "viewAgreement": agreement])
    }

    /// Of a stack of frames that are answered alone: the mean over those with something in them, or over all.
    static func mean(_ frames: [Confidence], found: [Bool]) -> Confidence {
        let chosen = found.contains(true) ? zip(frames, found).filter(\.1).map(\.0) : frames
        func average(_ value: (Confidence) -> Double) -> Double {
            chosen.isEmpty ? 0 : chosen.reduce(0) { $0 + value($1) } / Double(chosen.count)
        }
        let names = ["meanForegroundProbability", "viewAgreement"]
        let measures = names.map { name in (name, average { $0.measures[name] ?? 0 }) }
        return Confidence(value: average(\.value), measures: Dictionary(uniqueKeysWithValues: measures))
    }
}
