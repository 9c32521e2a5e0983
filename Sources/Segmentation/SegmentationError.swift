// SPDX-License-Identifier: Apache-2.0

/// Why a segmenter gave no answer.
public enum SegmentationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// No segmenter has this name; the names there are.
    case unknownSegmenter(String, known: [String])
    /// The input is of another kind than the segmenter accepts.
    case wrongKind(segmenter: String, accepts: String)
    /// The input cannot be segmented: the reason, and what would be accepted.
    case unsuitable(segmenter: String, reason: String)
    /// The weights are damaged or do not fit the recipe.
    case weights(segmenter: String, reason: String)
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
        case .weights(let segmenter, let reason):
            "the weights of \(segmenter) cannot be used, build or install again: \(reason)"
        case .compute(let segmenter, let reason):
            "\(segmenter) could not compute: \(reason)"
        }
    }
}
