// SPDX-License-Identifier: Apache-2.0

/// Why a segmenter gave no answer.
public enum SegmentationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// No segmenter has this name; the names there are.
    case unknownSegmenter(String, known: [String])
    /// The input is of another kind than the segmenter accepts.
    case wrongKind(segmenter: String, accepts: String)
    /// The input cannot be segmented: the reason, and what would be accepted.
    case unsuitable(segmenter: String, reason: String)
    /// The segmenter does not take this option, or not this value of it.
    case option(segmenter: String, option: String, reason: String)
    /// The weights it needs are not installed, or which of them is meant is not said.
    case missingWeights(segmenter: String, reason: String)
    /// Another version of the recipe was asked for, embedded weights that are not these, or another rule.
    case otherRecipe(segmenter: String, version: String)
    /// The weights are damaged or do not fit the recipe.
    case weights(segmenter: String, reason: String)
    /// What a site laid beside its weights is no rule.
    case rule(segmenter: String, reason: String)
    /// The kernels failed or were asked for what the processor lacks.
    case compute(segmenter: String, reason: String)

    public var description: String {
        switch self {
        case .unknownSegmenter(let name, let known):
            "no segmenter is named \(name): choose one of \(known.joined(separator: ", "))"
        case .wrongKind(let segmenter, let accepts):
            "\(segmenter) segments \(accepts) only: route this stack to another segmenter"
        case .unsuitable(let segmenter, let reason):
            "\(segmenter) cannot segment this stack: \(reason)"
        case .option(let segmenter, let option, let reason):
            "the option \(option) was given to \(segmenter), which cannot use it: \(reason)"
        case .missingWeights(let segmenter, let reason):
            "\(segmenter) lacks its weights: \(reason)"
        case .otherRecipe(let segmenter, let version):
            "\(segmenter) \(version) with the weights asked for is not here: a recipe, weights or a rule was changed "
                + "since; send the images again"
        case .weights(let segmenter, let reason):
            "the weights of \(segmenter) cannot be used, build or install again: \(reason)"
        case .rule(let segmenter, let reason):
            "the rule of \(segmenter) cannot be used: \(reason)"
        case .compute(let segmenter, let reason):
            "\(segmenter) could not compute: \(reason)"
        }
    }
}
