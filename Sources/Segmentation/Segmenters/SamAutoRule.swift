// SPDX-License-Identifier: Apache-2.0
//
// sam-auto's choice among generated masks. A logistic model estimates each mask's Dice with a polyp
// from the mask's features.

package import Foundation
internal import Imaging
package import Inference
internal import Platform

/// A logistic model that judges masks, with its provenance.
///
/// training/fitting/fit_auto_rule.py writes one as JSON.
package struct SamAutoRule: Sendable, Hashable, Codable {
    /// The data on which the coefficients were fitted and tested.
    package struct Provenance: Sendable, Hashable, Codable {
        /// SHA-256 of the weights whose masks the model was fitted on; empty if the masks are not a
        /// network's.
        package var weights: String
        /// The source of the masks, and the frames that they lie on.
        package var fittedOn: String
        /// The number of frames.
        package var frames: Int
        /// The number of masks.
        package var masks: Int
        /// Area under the ROC curve on held-out frames, for telling masks with a Dice above 0.5
        /// from others.
        package var heldOutAUC: Double
        /// The number of held-out frames.
        package var heldOutFrames: Int
    }

    /// The data behind the coefficients.
    package var provenance: Provenance
    /// Must equal `SamAutoFeatures.names`.
    package var features: [String]
    /// Subtracted from the features, one per feature.
    package var mean: [Double]
    /// Divides the differences, one per feature.
    package var deviation: [Double]
    /// Weights of the normalised features.
    package var coefficients: [Double]
    /// Added to the weighted sum.
    package var intercept: Double
    /// A mask is taken if its estimated Dice is at least this.
    package var threshold: Double

    /// Reads a rule from JSON.
    ///
    /// - Throws: `RuleError` if the JSON is not a rule, or a number in it cannot be used.
    package init(json: Data) throws(RuleError) {
        guard let rule = try? JSONDecoder().decode(SamAutoRule.self, from: json) else {
            throw RuleError(reason: "it does not hold the JSON of a rule")
        }
        self = rule
        let count = SamAutoFeatures.names.count
        guard features == SamAutoFeatures.names else {
            throw RuleError(reason: "its features are not \(SamAutoFeatures.names.joined(separator: ", "))")
        }
        guard mean.count == count, deviation.count == count, coefficients.count == count else {
            throw RuleError(
                reason: "it does not have a mean, a deviation and a coefficient for each of \(count) features")
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

    /// Reads the rule of a site, NAME.rule.json beside NAME.safetensors.
    ///
    /// - Parameter path: the path of the weights.
    /// - Returns: `nil` if the file does not exist.
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

    /// SHA-256 of the rule's content, independent of its file's layout: 64 lower-case hexadecimal
    /// digits.
    package var sha256: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        // Finite numbers and text can always be encoded.
        let json = (try? encoder.encode(self)) ?? Data()
        return SHA256.hash(data: json).hexadecimal
    }

    /// A remark for readers of an answer on the rule's fit to the weights with this SHA-256, in
    /// plain ASCII.
    package func note(weights: String) -> String {
        guard !provenance.weights.isEmpty, provenance.weights == weights else {
            return "the rule that chose is not measured on these weights: fit it with training/fitting/fit_auto_rule.py"
        }
        return "the rule that chose was fitted on these weights: AUC \(provenance.heldOutAUC) on "
            + "\(provenance.heldOutFrames) held-out frames"
    }

    /// The reason why a rule file cannot be used.
    package struct RuleError: Error, Hashable {
        /// What is wrong, and with which file.
        package let reason: String
    }

    /// The estimated Dice of a mask with a polyp, 0...1.
    package func estimate(_ features: SamAutoFeatures) -> Double {
        var sum = intercept
        for (index, value) in features.values.enumerated() {
            // A feature that could not be computed is left out.
            guard value.isFinite else { continue }
            sum += coefficients[index] * (value - mean[index]) / deviation[index]
        }
        return 1 / (1 + exp(-sum))
    }

    /// A mask that the rule chose.
    package struct ChosenMask: Sendable, Hashable {
        /// Index in the list of masks.
        package let index: Int
        /// The estimated Dice.
        package let estimate: Double
    }

    /// Chooses the masks that show polyps.
    ///
    /// - Parameters:
    ///   - masks: all masks of the frame.
    ///   - image: the frame.
    /// - Returns: masks that do not overlap, the best first; empty if the frame does not show a
    ///   polyp.
    package func choose(among masks: [AutomaticMask], in image: ByteImage) -> [ChosenMask] {
        var taken = [UInt8](repeating: 0, count: image.rows * image.columns)
        var choices = [ChosenMask]()
        for choice in ranked(masks, in: image) {
            guard choice.estimate >= threshold else { break }
            let pixels = masks[choice.index].segmentation.pixels
            guard !zip(pixels, taken).contains(where: { $0 & $1 != 0 }) else { continue }
            for index in pixels.indices { taken[index] |= pixels[index] }
            choices.append(choice)
        }
        return choices
    }

    /// Sorts the masks that are not empty by falling estimate.
    ///
    /// - Parameters:
    ///   - masks: all masks of the frame.
    ///   - image: the frame.
    /// - Returns: equal estimates keep the order of the list.
    package func ranked(_ masks: [AutomaticMask], in image: ByteImage) -> [ChosenMask] {
        let estimates = masks.enumerated().filter { $0.element.area > 0 }.map { index, mask in
            ChosenMask(index: index, estimate: estimate(SamAutoFeatures(mask, in: image)))
        }
        return estimates.sorted { ($1.estimate, $0.index) < ($0.estimate, $1.index) }
    }
}
