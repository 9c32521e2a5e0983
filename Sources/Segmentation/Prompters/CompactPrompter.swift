// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

/// A compact network that looks for what a promptable one shall outline.
final class CompactPrompter {
    private let make: () throws -> any Segmenter
    private let name: String
    private let asked: String
    /// Loaded when it is needed first: a person's prompt needs none.
    private var loaded: (any Segmenter)?

    /// - Parameter asked: the segmenter that asks, for errors.
    init(_ target: PromptedTarget, precision: Precision, asked: String) {
        name = target.compact.name
        self.asked = asked
        switch target {
        case .polyp: make = { try PolypCompact(precision: precision) }
        case .leftAtrium: make = { try LeftAtriumCompact(precision: precision) }
        }
    }

    func find(_ input: SegmenterInput, progress: (Int, Int) -> Void = { _, _ in }) throws -> SegmenterResult {
        let segmenter = try loaded ?? make()
        loaded = segmenter
        do {
            return try segmenter.segment(input, progress: progress)
        } catch SegmentationError.unsuitable(_, let reason) {
            throw SegmentationError.unsuitable(
                segmenter: asked, reason: "\(name), which looks for prompts, refuses it: \(reason)")
        }
    }
}
