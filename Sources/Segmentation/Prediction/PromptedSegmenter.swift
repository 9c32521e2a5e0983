// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

/// What a recipe says that answers prompts by a network of the SAM family: everything in which such recipes differ.
protocol PromptedRecipe {
    static var entry: SegmenterEntry { get }
    static var rules: PromptedRules { get }
    /// What the network is asked about.
    static var answers: PromptedAnswers { get }
}

/// How a recipe's input is answered.
enum PromptedAnswers {
    /// Frame by frame, from prompts of one kind.
    case frames(PromptedFrames.Kind)
    /// A volume slice by slice, from boxes.
    case slices
}

/// The part that answers: `PromptedFrames` or `PromptedSlices`.
protocol PromptedBody: AnyObject {
    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult
}

/// A segmenter by such a recipe.
final class PromptedSegmenter<Recipe: PromptedRecipe>: InstalledRecipe {
    static var entry: SegmenterEntry { Recipe.entry }

    let descriptor: SegmenterDescriptor
    private let body: any PromptedBody

    init(_ descriptor: SegmenterDescriptor, weights: SafeTensors, file: WeightFile?, precision: Precision) throws {
        self.descriptor = descriptor
        switch Recipe.answers {
        case .frames(let kind):
            body = try PromptedFrames(Recipe.rules, asks: kind, weights: weights, precision: precision)
        case .slices: body = try PromptedSlices(Recipe.rules, weights: weights, precision: precision)
        }
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try Self.entry.check(options)
        return try body.segment(input, options: options, trace: trace, progress: progress)
    }
}
