// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Imaging

/// The decision about one stack: whether a segmenter runs on it, and the reason.
///
/// The node, `kontur segment` and `kontur route explain` all ask a `StackPlanner` for this value, so they cannot
/// disagree about a stack.
public struct StackPlan: Sendable {
    /// The result of the plan.
    public enum Outcome: Sendable {
        /// A segmenter can run on the stack.
        case segment(Work)
        /// The route's segmenter cannot run on this stack.
        ///
        /// - `reason`: in words, without patient data.
        case unfit(reason: String)
        /// The route's segmenter is not installed on this machine.
        ///
        /// - `reason`: what is missing and how to install it.
        case unavailable(reason: String)
        /// The stack does not match any route. Missing attributes do not affect this result.
        case unmatched
        /// No route matched, and at least one could not be evaluated because an attribute is missing.
        case undetermined
    }

    /// One run of a segmenter on one stack.
    public struct Work: Sendable {
        /// The route that asks for the run: options, gaps, type and review rule come from it.
        public var route: Route
        /// The segmenter with the weights that it runs on.
        public var segmenter: InstalledSegmenter
        /// Indices into the stack's instances, in the order in which the segmenter takes them.
        public var sources: [Int]
        /// For each source the frames to segment, counted from 1; `nil` for all of its frames.
        public var frameNumbers: [[Int]?]
        /// The series and the stack in it, which the objects name; `nil` for none.
        public var label: SeriesLabel?
        /// Facts for the record, such as a gap that the route says to mark.
        public var notes: [String]
        /// The choice among the frames of cine and video instances; `nil` if every frame is segmented.
        public var sampling: FrameSampling?
    }

    /// The reasons for the choice of the route; `nil` if the target was forced.
    public var decision: RouteDecision?
    /// The route that takes the stack, even if its segmenter cannot run.
    public var route: Route?
    public var outcome: Outcome
}

/// A segmenter that is not installed on this machine.
public struct UnavailableSegmenter: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is missing, and how to install it.
    public var description: String

    public init(_ description: String) { self.description = description }
}

/// Makes the plan for each stack: route, segmenter with its weights, and fit, in this order.
public struct StackPlanner: Sendable {
    /// A route, and the segmenter that the route names as it is installed here.
    public struct Target: Sendable {
        public var route: Route
        /// The segmenter with its weights, or the reason why it cannot run here.
        public var segmenter: Result<InstalledSegmenter, UnavailableSegmenter>

        public init(_ route: Route, segmenter: Result<InstalledSegmenter, UnavailableSegmenter>) {
            self.route = route
            self.segmenter = segmenter
        }
    }

    /// In the order of the configuration: the first route that matches takes the stack.
    public var targets: [Target]
    /// The largest stack that one request to a worker can name.
    public var maximumInstances: Int

    /// The target that takes every stack, regardless of the conditions of its route; `nil` if the conditions decide.
    public var forced: Target?

    public init(targets: [Target], maximumInstances: Int, forced: Target? = nil) {
        self.targets = targets
        self.maximumInstances = maximumInstances
        self.forced = forced
    }

    /// The routes of the targets, in their order.
    public var routes: [Route] { targets.map(\.route) }

    /// Plans a stack: a pure function.
    ///
    /// - Parameters:
    ///   - stack: the stack to plan.
    ///   - callingAETitles: the AE titles that sent the instances; empty for files.
    /// - Returns: the plan, with the decision unless the target is forced.
    public func plan(_ stack: Stack, callingAETitles: [String] = []) -> StackPlan {
        if let forced { return StackPlan(route: forced.route, outcome: outcome(stack, for: forced)) }
        let decision = RouteDecision(StackFacts(stack, callingAETitles: callingAETitles), routes: routes)
        guard let target = targets.first(where: { $0.route.name == decision.route }) else {
            return StackPlan(
                decision: decision, outcome: decision.outcome == .undetermined ? .undetermined : .unmatched)
        }
        return StackPlan(decision: decision, route: target.route, outcome: outcome(stack, for: target))
    }

    private func outcome(_ stack: Stack, for target: Target) -> StackPlan.Outcome {
        let segmenter: InstalledSegmenter
        switch target.segmenter {
        case .success(let installed): segmenter = installed
        case .failure(let error): return .unavailable(reason: error.description)
        }
        switch stack.fit(for: segmenter.descriptor, gaps: target.route.gaps) {
        case .unfit(let reason):
            return .unfit(reason: stack.split.map { "\(reason); the series is \($0)" } ?? reason)
        case .fit(let sources, var notes):
            notes += stack.split.map { ["the series is \($0)"] } ?? []
            guard sources.count <= maximumInstances else {
                return .unfit(
                    reason: "the stack has \(sources.count) instances; at most \(maximumInstances) are supported")
            }
            return .segment(
                StackPlan.Work(
                    route: target.route, segmenter: segmenter, sources: sources,
                    frameNumbers: sources.map { stack.frameNumbers[$0] }, label: stack.label, notes: notes,
                    sampling: segmenter.descriptor.accepts == .frames
                        ? FrameSampling(target.route.framesPerSecond, of: sources.map { stack.instances[$0] }) : nil))
        }
    }
}

/// Whether a segmenter can run on a stack.
public enum StackFit: Sendable, Hashable {
    /// The segmenter can run.
    ///
    /// - `sources`: indices into the stack's instances, in the order in which the segmenter takes them.
    /// - `notes`: facts for the record, such as a gap that the route says to mark.
    case fit(sources: [Int], notes: [String])
    /// The segmenter cannot run.
    ///
    /// - `reason`: in words, without patient data.
    case unfit(reason: String)
}

extension Stack {
    /// Compares the stack with the input that a segmenter accepts.
    ///
    /// - Parameters:
    ///   - segmenter: the segmenter that would run.
    ///   - gaps: what to do with a volume whose slices are missing, doubled or unevenly spaced.
    /// - Returns: the order of the sources, or the reason why the segmenter cannot run.
    public func fit(for segmenter: SegmenterDescriptor, gaps: VolumeAssembly.Gaps = .refuse) -> StackFit {
        if let known = instances.lazy.compactMap({ SOPClass.image($0.sopClassUID) }).first,
            known.functionalGroups == .unsupported
        {
            return .unfit(reason: "images of SOP class \(known.name) (\(known.uid)) are not supported")
        }
        return switch segmenter.accepts {
        case .frames: .fit(sources: Array(instances.indices), notes: [])
        case .volume: volumeFit(gaps)
        }
    }

    private func volumeFit(_ gaps: VolumeAssembly.Gaps) -> StackFit {
        if !hasGeometry {
            let cause = instances.lazy.compactMap(\.planeProblem).first ?? "no position and orientation"
            return .unfit(reason: "the segmenter needs a volume, but the images have no usable geometry: \(cause)")
        }
        if hasFramesWithoutPlanes {
            return .unfit(
                reason: "the segmenter needs a volume, but the frames of an image do not have positions of their own")
        }
        if let colour = instances.first(where: { $0.samplesPerPixel != 1 }) {
            let samples = "\(colour.samplesPerPixel) samples per pixel"
            return .unfit(reason: "the segmenter needs a grey volume, but an image has \(samples)")
        }
        if framesOfReference > 1 {
            return .unfit(
                reason: "the segmenter needs a volume, but its \(numberOfFrames) slices name \(framesOfReference) "
                    + "frames of reference")
        }
        if instances.contains(where: { $0.frameOfReferenceUID == nil }) {
            return .unfit(reason: "the segmenter needs a volume, but an image lacks a frame of reference")
        }
        guard let order else {
            return .unfit(reason: "the images do not make a volume: \(orderProblem ?? .tooFewSlices(numberOfFrames))")
        }
        let doubled = Set(order.duplicates)
        if order.spacing <= 0 || numberOfFrames - doubled.count < 2 {
            return .unfit(reason: "the images do not make a volume: all slices lie at one position")
        }
        guard let problem = order.problem else { return .fit(sources: Array(instances.indices), notes: []) }
        switch gaps {
        case .refuse:
            let cause = isRounded ? "; the positions are rounded to whole millimetres" : ""
            return .unfit(reason: "the volume is not even: \(problem)\(cause)")
        case .mark:
            return .fit(
                sources: Array(instances.indices), notes: ["segmented although the volume is not even: \(problem)"])
        }
    }

    /// Whether all positions are whole numbers, as some exporters write them.
    private var isRounded: Bool {
        guard instances.count > 2 else { return false }
        return instances.allSatisfy { instance in
            instance.plane?.position.components.allSatisfy { $0 == $0.rounded() } == true
        }
    }
}
