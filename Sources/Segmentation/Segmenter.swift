// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// What one job asks to be segmented.
public enum SegmenterInput: Sendable {
    /// Frames of any sizes, answered one by one, in order.
    case frames([Frame])
    /// One stack, slices in order along its normal, in any orientation.
    case volume(Volume)
}

/// A recipe ready to run: its weights are loaded and packed.
///
/// Calls are synchronous and use the threads that were fixed at start. A segmenter belongs to the thread that made it:
/// call it from there only (OpenMP builds a team of threads for every calling thread).
///
/// The same input and options give the same result bit for bit, on one machine with one thread count and precision.
public protocol Segmenter: AnyObject {
    var descriptor: SegmenterDescriptor { get }

    /// Segments `input`.
    ///
    /// - Parameters:
    ///   - options: what a person asks beyond the recipe; those that `SegmenterEntry.options` does not list are refused.
    ///     A box and points hold for every frame; for a volume they lie in its key slice.
    ///   - trace: gets what the network took in and gave out, frame by frame; `nil` for nobody.
    ///   - progress: called on the same thread with (steps done, steps in all), after every step; for frames a step is
    ///     a frame.
    /// - Throws: `SegmentationError`, and what `trace` throws.
    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult
}

extension Segmenter {
    /// As the recipe has it.
    public func segment(_ input: SegmenterInput, progress: (Int, Int) -> Void) throws -> SegmenterResult {
        try segment(input, options: .none, trace: nil, progress: progress)
    }
}

/// The answer to one job, on the grid of the source: element `i` belongs to frame or slice `i` of the input.
public struct SegmenterResult: Sendable {
    public var masks: [Mask]
    /// Foreground probability 0...1, each `[rows, columns]` of its frame.
    public var probabilities: [[Float]]
    public var frameConfidence: [Confidence]
    /// Of the whole stack.
    public var confidence: Confidence
    /// What a reader should know about this answer, in plain ASCII; never patient data.
    public var notes: [String]

    public init(
        masks: [Mask], probabilities: [[Float]], frameConfidence: [Confidence], confidence: Confidence, notes: [String]
    ) {
        self.masks = masks
        self.probabilities = probabilities
        self.frameConfidence = frameConfidence
        self.confidence = confidence
        self.notes = notes
    }
}
