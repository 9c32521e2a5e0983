// SPDX-License-Identifier: Apache-2.0
//
// sam-auto's choice among generated masks, made without the truth: a logistic model of each mask's features estimates
// its Dice with a polyp.

internal import Platform
package import Foundation
package import Imaging
package import Inference

/// A logistic model, and what is to be known about how it came about. training/fitting/fit_auto_rule.py writes one as
/// JSON.
package struct SamAutoRule: Sendable, Hashable, Codable {
    /// How the coefficients came about.
    package struct Provenance: Sendable, Hashable, Codable {
        /// SHA-256 of the stored weights whose masks the model was fitted on; empty where masks were not a network's.
        package var weights: String
        /// Whose masks, on which frames.
        package var fittedOn: String
        package var frames: Int
        package var masks: Int
        /// Of masks with a Dice above 0.5 against others, on frames that were held out.
        package var heldOutAUC: Double
        package var heldOutFrames: Int
    }

    package var provenance: Provenance
    /// `SamAutoFeatures.names`.
    package var features: [String]
    /// Subtracted from the features.
    package var mean: [Double]
    /// By which they are divided then.
    package var deviation: [Double]
    package var coefficients: [Double]
    package var intercept: Double
    /// A mask is taken when its estimated Dice is at least that.
    package var threshold: Double

    package init(json: Data) throws(RuleError) {
        guard let rule = try? JSONDecoder().decode(SamAutoRule.self, from: json) else {
            throw RuleError(reason: "it is not a rule's JSON")
        }
        self = rule
        let count = SamAutoFeatures.names.count
        guard features == SamAutoFeatures.names else {
            throw RuleError(reason: "its features are not \(SamAutoFeatures.names.joined(separator: ", "))")
        }
        guard mean.count == count, deviation.count == count, coefficients.count == count else {
            throw RuleError(reason: "it has not one mean, deviation and coefficient for each of \(count) features")
        }
        guard (mean + deviation + coefficients + [intercept, threshold]).allSatisfy(\.isFinite),
            deviation.allSatisfy({ $0 > 0 })
        else { throw RuleError(reason: "a deviation is not above 0, or a number is not finite") }
    }

    init(
        provenance: Provenance, mean: [Double], deviation: [Double], coefficients: [Double], intercept: Double,
        threshold: Double
    ) {
        self.provenance = provenance
        features = SamAutoFeatures.names
        self.mean = mean
        self.deviation = deviation
        self.coefficients = coefficients
        self.intercept = intercept
        self.threshold = threshold
    }

    /// The rule of a site, NAME.rule.json beside NAME.safetensors; `nil` where there is none.
    ///
    /// - Throws: `RuleError`.
    package static func beside(weights path: String) throws(RuleError) -> SamAutoRule? {
        let file = URL(filePath: path).deletingPathExtension().appendingPathExtension("rule.json")
        guard FileManager.default.fileExists(atPath: file.path) else { return nil }
        let name = file.lastPathComponent
        guard let json = try? Data(contentsOf: file) else { throw RuleError(reason: "\(name) cannot be read") }
        do {
            return try SamAutoRule(json: json)
        } catch {
            throw RuleError(reason: "of \(name), \(error.reason); fit it again, or remove it")
        }
    }

    /// Of all that the rule holds, however its file is laid out: 64 lower-case hexadecimal digits.
    package var sha256: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        // Finite numbers and text can always be written.
        let json = (try? encoder.encode(self)) ?? Data()
        return SHA256.hash(data: json).hexadecimal
    }

    /// What a reader of an answer should know of the rule, in plain ASCII.
    package func note(weights: String) -> String {
        guard !provenance.weights.isEmpty, provenance.weights == weights else {
            return "the rule that chose is not measured on these weights: fit it with training/fitting/fit_auto_rule.py"
        }
        return "the rule that chose was fitted on these weights: AUC \(provenance.heldOutAUC) on "
            + "\(provenance.heldOutFrames) held-out frames"
    }

    /// Why a file of coefficients cannot be used.
    package struct RuleError: Error, Hashable {
        package let reason: String
    }

    /// The Dice that a mask is estimated to have with a polyp, 0...1.
    package func estimate(_ features: SamAutoFeatures) -> Double {
        var sum = intercept
        for (index, value) in features.values.enumerated() {
            // A feature that could not be computed says nothing.
            guard value.isFinite else { continue }
            sum += coefficients[index] * (value - mean[index]) / deviation[index]
        }
        return 1 / (1 + exp(-sum))
    }

    /// A mask that was chosen.
    package struct Choice: Sendable, Hashable {
        /// In the list that was chosen from.
        package let index: Int
        package let estimate: Double
    }

    /// The masks taken for polyps, best first: none reaches into another. Empty: no polyp.
    package func choose(among masks: [AutomaticMask], in image: ByteImage) -> [Choice] {
        var taken = [UInt8](repeating: 0, count: image.rows * image.columns)
        var choices = [Choice]()
        for choice in ranked(masks, in: image) {
            guard choice.estimate >= threshold else { break }
            let pixels = masks[choice.index].segmentation.pixels
            guard !zip(pixels, taken).contains(where: { $0 & $1 != 0 }) else { continue }
            for index in pixels.indices { taken[index] |= pixels[index] }
            choices.append(choice)
        }
        return choices
    }

    /// All masks with pixels, by falling estimate; equal ones in the order of the list.
    package func ranked(_ masks: [AutomaticMask], in image: ByteImage) -> [Choice] {
        let estimates = masks.enumerated().filter { $0.element.area > 0 }.map { index, mask in
            Choice(index: index, estimate: estimate(SamAutoFeatures(mask, in: image)))
        }
        return estimates.sorted { ($1.estimate, $0.index) < ($0.estimate, $1.index) }
    }
}
