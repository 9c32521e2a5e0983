// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Routing
import Testing

@Suite struct StackPlanTests {
    static func route(_ name: String, _ modality: String) throws -> Route {
        Route(
            name: name, when: [try ConditionSet(.map([.init("modality", .text(modality))]))], segmenter: "test",
            sendTo: ["archive"])
    }

    static func target(
        _ name: String, _ modality: String, _ accepts: SegmenterDescriptor.Accepts = .volume
    ) throws -> StackPlanner.Target {
        StackPlanner.Target(
            try route(name, modality), segmenter: .success(InstalledSegmenter(StackTests.segmenter(accepts))))
    }

    static func stack(_ count: Int = 5) throws -> Stack {
        try #require(Stack.stacks(of: StackTests.volume(count)).first)
    }

    /// The outcome in one line.
    static func text(_ plan: StackPlan) -> String {
        let route = plan.route?.name ?? "-"
        switch plan.outcome {
        case .segment(let work): return "\(route): segment \(work.sources) of \(work.route.name)"
        case .unfit(let reason): return "\(route): unfit: \(reason)"
        case .unavailable(let reason): return "\(route): unavailable: \(reason)"
        case .unmatched: return "\(route): unmatched"
        case .undetermined: return "\(route): undetermined"
        }
    }

    @Test func `the first route that matches gives its segmenter the stack`() throws {
        let planner = StackPlanner(
            targets: [try Self.target("ct", "CT"), try Self.target("mr", "MR"), try Self.target("late", "MR")],
            maximumInstances: 100)
        let plan = planner.plan(try Self.stack())
        #expect(Self.text(plan) == "mr: segment [0, 1, 2, 3, 4] of mr")
        #expect(plan.decision?.routes.map(\.outcome) == [.notMatched, .matched, .matched])
    }

    @Test func `frames are chosen of video by default, of cine loops if the route names a rate, and never of volumes`()
        throws
    {
        var header = StackTests.volume(1)[0]
        header.plane = nil
        func sampling(_ rate: Double?, _ accepts: SegmenterDescriptor.Accepts = .frames) throws -> FrameSampling? {
            var target = try Self.target("mr", "MR", accepts)
            target.route.framesPerSecond = rate
            let stack = try #require(Stack.stacks(of: [header]).first)
            let plan = StackPlanner(targets: [target], maximumInstances: 100).plan(stack)
            guard case .segment(let work) = plan.outcome else { return nil }
            return work.sampling
        }
        #expect(try sampling(3) == nil)
        header.numberOfFrames = 100
        header.framesPerSecond = 30
        #expect(try sampling(nil) == nil)
        #expect(try sampling(3) == FrameSampling(framesPerSecond: 3, declared: [30]))
        #expect(try sampling(3, .volume) == nil)
        header.transferSyntaxUID = TransferSyntax.h264High41.rawValue
        #expect(try sampling(nil) == FrameSampling(framesPerSecond: 2, declared: [30]))
        #expect(try sampling(5) == FrameSampling(framesPerSecond: 5, declared: [30]))
        header.numberOfFrames = 1
        #expect(try sampling(5) == FrameSampling(framesPerSecond: 5, declared: [30]))
    }

    @Test func `a stack without a route is unmatched or undetermined`() throws {
        let unmatched = StackPlanner(targets: [try Self.target("ct", "CT")], maximumInstances: 100)
        #expect(Self.text(unmatched.plan(try Self.stack())) == "-: unmatched")
        let set = try ConditionSet(.map([.init("bodyPart", .text("HEART"))]))
        let undetermined = StackPlanner(
            targets: [
                StackPlanner.Target(
                    Route(name: "heart", when: [set], segmenter: "test"),
                    segmenter: .success(InstalledSegmenter(StackTests.segmenter(.volume))))
            ], maximumInstances: 100)
        #expect(Self.text(undetermined.plan(try Self.stack())) == "-: undetermined")
    }

    @Test func `a segmenter that is not installed makes the plan unavailable, not unmatched`() throws {
        let planner = StackPlanner(
            targets: [
                StackPlanner.Target(
                    try Self.route("mr", "MR"), segmenter: .failure(UnavailableSegmenter("install it first"))),
                try Self.target("late", "MR"),
            ], maximumInstances: 100)
        #expect(Self.text(planner.plan(try Self.stack())) == "mr: unavailable: install it first")
    }

    @Test func `a stack that the segmenter cannot take is unfit`() throws {
        let planner = StackPlanner(targets: [try Self.target("mr", "MR")], maximumInstances: 4)
        #expect(
            Self.text(planner.plan(try Self.stack()))
                == "mr: unfit: the stack has 5 instances; at most 4 are supported")
        #expect(Self.text(planner.plan(try Self.stack(4))) == "mr: segment [0, 1, 2, 3] of mr")
        #expect(
            Self.text(planner.plan(try Self.stack(1)))
                == "mr: unfit: the images do not make a volume: a volume needs at least two slices; the stack has 1")
    }

    @Test func `a forced target takes every stack, whatever its conditions`() throws {
        let planner = StackPlanner(
            targets: [try Self.target("mr", "MR")], maximumInstances: 100,
            forced: try Self.target("forced", "CT", .frames))
        let plan = planner.plan(try Self.stack())
        #expect(Self.text(plan) == "forced: segment [0, 1, 2, 3, 4] of forced")
        #expect(plan.decision == nil)
    }
}
