// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Imaging

/// A rule of the configuration: the stacks it takes, the segmenter they go to, and the peers that get the result.
public struct Route: Sendable {
    /// The name in the configuration, which the audit trail records; empty if the command line made the route.
    public var name: String
    /// The alternative sets of conditions.
    ///
    /// At least one must hold.
    public var when: [ConditionSet]
    /// The name of a `SegmenterDescriptor`.
    public var segmenter: String
    /// The name of installed weights.
    ///
    /// `nil` takes the only installed weights that fit, or the weights inside the executable.
    public var weights: String?
    /// Parameters of the recipe that the route sets.
    public var options: SegmenterOptions
    /// Names of peers; empty if results stay in the spool.
    public var sendTo: [String]
    /// The treatment of a volume with missing, doubled or unevenly spaced slices.
    public var gaps: VolumeAssembly.Gaps
    /// The frames per second that are segmented of a cine or video instance.
    ///
    /// `nil` takes ``FrameSampling/ofVideo`` of a video, and every frame of other instances.
    public var framesPerSecond: Double?
    /// How the SEG stores its pixels.
    public var type: SegmentationType
    /// Whether a measurement report goes with each SEG, and says so if nothing was found.
    public var report: Bool
    /// Whether pictures with burnt-in contours go with the SEG, for viewers that do not show a SEG.
    public var pictures: Bool
    /// The rule for results that a person has to review; `nil` if results do not need a review.
    public var review: ReviewRule?

    public init(
        name: String, when: [ConditionSet], segmenter: String, weights: String? = nil,
        options: SegmenterOptions = .none, sendTo: [String] = [], gaps: VolumeAssembly.Gaps = .refuse,
        framesPerSecond: Double? = nil, type: SegmentationType = .binary, report: Bool = false, pictures: Bool = false,
        review: ReviewRule? = nil
    ) {
        self.name = name
        self.when = when
        self.segmenter = segmenter
        self.weights = weights
        self.options = options
        self.sendTo = sendTo
        self.gaps = gaps
        self.framesPerSecond = framesPerSecond
        self.type = type
        self.report = report
        self.pictures = pictures
        self.review = review
    }

    /// Evaluates every condition of the route, even after the outcome is decided.
    public func explain(_ facts: StackFacts) -> RouteExplanation {
        let sets = when.map { $0.explain(facts) }
        return RouteExplanation(route: name, outcome: .any(sets.map(\.outcome)), sets: sets)
    }
}

/// The rule of a route for results with a low confidence.
public struct ReviewRule: Sendable, Hashable, Codable {
    /// The treatment of a result that needs review.
    public enum Action: String, Sendable, Hashable, Codable, CaseIterable {
        /// The node sends the result like any other. The audit trail and `kontur status` say that it needs review.
        case send
        /// The node sends the result, and the SEG itself says that it needs review.
        case mark
        /// The SEG says that it needs review, and the node keeps it until an operator releases or drops it.
        case hold
    }

    /// Results with a confidence below this one need review, 0...1.
    public var below: Double
    public var action: Action

    public init(below: Double, action: Action) {
        self.below = below
        self.action = action
    }

    /// The confidence below which the SEG says that it needs review; `nil` if it never does.
    public var markedBelow: Double? { action == .send ? nil : below }
}
