// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Imaging

/// Which stacks go to which segmenter, and where the answer goes.
public struct Route: Sendable {
    public var name: String
    /// One of these sets must hold.
    public var when: [ConditionSet]
    /// The name of a `SegmenterDescriptor`.
    public var segmenter: String
    /// The name of installed weights; `nil` for those of the executable, or the only ones installed that fit.
    public var weights: String?
    public var options: SegmenterOptions
    /// Names of peers.
    public var sendTo: [String]
    /// What to do with a volume that has missing, doubled or unevenly spaced slices.
    public var gaps: VolumeAssembly.Gaps
    /// How the answer is stored.
    public var type: SegmentationType
    /// When a person has to look at an answer; `nil` for never.
    public var review: ReviewRule?

    public init(
        name: String, when: [ConditionSet], segmenter: String, weights: String? = nil,
        options: SegmenterOptions = .none, sendTo: [String] = [], gaps: VolumeAssembly.Gaps = .refuse,
        type: SegmentationType = .binary, review: ReviewRule? = nil
    ) {
        self.name = name
        self.when = when
        self.segmenter = segmenter
        self.weights = weights
        self.options = options
        self.sendTo = sendTo
        self.gaps = gaps
        self.type = type
        self.review = review
    }

    public func explain(_ facts: StackFacts) -> RouteExplanation {
        let sets = when.map { $0.explain(facts) }
        return RouteExplanation(route: name, outcome: .any(sets.map(\.outcome)), sets: sets)
    }
}
