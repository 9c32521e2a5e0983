// SPDX-License-Identifier: Apache-2.0

public import DICOM

/// Which stacks go to which segmenter, and where the answer goes.
public struct Route: Sendable {
    public var name: String
    /// One of these sets must hold.
    public var when: [ConditionSet]
    /// The name of a `SegmenterDescriptor`.
    public var segmenter: String
    /// Names of peers.
    public var sendTo: [String]
    /// What to do with a volume that has missing, doubled or unevenly spaced slices.
    public var gaps: VolumeAssembly.Gaps
    /// How the answer is stored.
    public var type: SegmentationType
    /// When a person has to look at an answer; `nil` for never.
    public var review: ReviewRule?

    public init(
        name: String, when: [ConditionSet], segmenter: String, sendTo: [String] = [],
        gaps: VolumeAssembly.Gaps = .refuse,
        type: SegmentationType = .binary, review: ReviewRule? = nil
    ) {
        self.name = name
        self.when = when
        self.segmenter = segmenter
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
