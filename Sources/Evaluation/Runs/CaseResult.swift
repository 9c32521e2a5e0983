// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// What came of one case with one segmenter: one line of `results.jsonl`.
public struct CaseResult: Sendable, Hashable, Codable {
    /// Finished work is known again by this: the same case, unchanged, the same recipe, weights and prompt.
    public struct Key: Sendable, Hashable, Codable {
        public var caseID: String
        /// Of the files of the case.
        public var digest: String
        public var segmenter: String
        public var version: String
        public var weightsHash: String
        public var prompt: PromptPlan

        init(_ source: EvaluationCase, digest: String, plan: SegmenterPlan) {
            caseID = source.id
            self.digest = digest
            segmenter = plan.segmenter.descriptor.name
            version = plan.segmenter.descriptor.version
            weightsHash = plan.segmenter.descriptor.weightsHash
            prompt = plan.prompt
        }
    }

    public var key: Key
    /// What reports call the segmenter.
    public var name: String
    public var group: String?
    public var kind: EvaluationCase.Kind
    /// Frames or slices.
    public var frames: Int
    /// Why there are no scores; `nil` when there are.
    public var failure: String?
    public var scores: CaseScores?
    public var confidence: Confidence?
    public var traits: CaseTraits?
    /// From request to answer: decoding, inference and writing of masks, with the start of a worker and the loading of
    /// weights where they were needed.
    public var seconds: Double?
    /// Of the worker during the case, bytes of resident memory.
    public var peakMemory: Int?
    /// PNG files, one a frame, relative to the output folder.
    public var masks: [String]
    public var notes: [String]
    /// Of a segmenter that chooses among masks of a frame.
    public var yardsticks: [Yardstick]?

    init(_ source: EvaluationCase, digest: String, plan: SegmenterPlan) {
        key = Key(source, digest: digest, plan: plan)
        name = plan.name
        group = source.group
        kind = source.kind
        frames = source.images.count
        masks = []
        notes = []
    }
}
