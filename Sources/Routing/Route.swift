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

    public init(
        name: String, when: [ConditionSet], segmenter: String, sendTo: [String] = [],
        gaps: VolumeAssembly.Gaps = .refuse,
        type: SegmentationType = .binary
    ) {
        self.name = name
        self.when = when
        self.segmenter = segmenter
        self.sendTo = sendTo
        self.gaps = gaps
        self.type = type
    }

    public func explain(_ facts: StackFacts) -> RouteExplanation {
        let sets = when.map { $0.explain(facts) }
        return RouteExplanation(route: name, outcome: .any(sets.map(\.outcome)), sets: sets)
    }
}
