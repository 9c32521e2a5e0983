// SPDX-License-Identifier: Apache-2.0

import Foundation
import Routing
import Testing

@Suite struct RouteDecisionTests {
    static func set(_ conditions: (String, String)...) throws -> ConditionSet {
        try ConditionSet(.map(conditions.map { .init($0.0, .text($0.1)) }))
    }

    static func route(_ name: String, _ when: ConditionSet...) -> Route {
        Route(name: name, when: when, segmenter: "polyp-compact", sendTo: ["archive"])
    }

    static func facts(modality: String? = nil, bodyPart: String? = nil) -> StackFacts {
        StackFacts(modality: modality, bodyPart: bodyPart, numberOfInstances: 3)
    }

    @Test func `the first route whose conditions all hold wins`() throws {
        let routes = [
            Self.route("colon", try Self.set(("modality", "ES"), ("bodyPart", "COLON"))),
            Self.route("endoscopy", try Self.set(("modality", "ES"))),
            Self.route("anything", try Self.set(("modality", "ES")), try Self.set(("modality", "MR"))),
        ]
        #expect(
            RouteDecision(Self.facts(modality: "ES", bodyPart: "COLON"), routes: routes).outcome == .routed("colon"))
        #expect(
            RouteDecision(Self.facts(modality: "ES", bodyPart: "STOMACH"), routes: routes).outcome
                == .routed("endoscopy"))
        #expect(RouteDecision(Self.facts(modality: "MR"), routes: routes).outcome == .routed("anything"))
        #expect(RouteDecision(Self.facts(modality: "CT"), routes: routes).outcome == .unmatched)
    }

    @Test func `a route with an undetermined condition is passed over`() throws {
        let routes = [
            Self.route("colon", try Self.set(("modality", "ES"), ("bodyPart", "COLON"))),
            Self.route("endoscopy", try Self.set(("modality", "ES"))),
        ]
        let decision = RouteDecision(Self.facts(modality: "ES"), routes: routes)
        #expect(decision.outcome == .routed("endoscopy"))
        #expect(decision.routes.map(\.outcome) == [.undetermined, .matched])
    }

    @Test func `a stack that only undetermined routes could take is undetermined, not unmatched`() throws {
        let routes = [
            Self.route("heart", try Self.set(("modality", "MR"))),
            Self.route("colon", try Self.set(("modality", "ES"), ("bodyPart", "COLON"))),
        ]
        let decision = RouteDecision(Self.facts(modality: "ES"), routes: routes)
        #expect(decision.outcome == .undetermined)
        #expect(decision.summary == "undetermined: colon (bodyPart)")
    }

    @Test func `a condition that does not hold decides, whatever else is missing`() throws {
        let routes = [Self.route("colon", try Self.set(("bodyPart", "COLON"), ("modality", "ES")))]
        #expect(RouteDecision(Self.facts(modality: "MR"), routes: routes).outcome == .unmatched)
    }

    @Test func `one set of several is enough, though another cannot be told`() throws {
        let routes = [Self.route("either", try Self.set(("bodyPart", "COLON")), try Self.set(("modality", "ES")))]
        #expect(RouteDecision(Self.facts(modality: "ES"), routes: routes).outcome == .routed("either"))
        #expect(RouteDecision(Self.facts(modality: "MR"), routes: routes).outcome == .undetermined)
    }

    @Test func `without routes nothing matches`() {
        let decision = RouteDecision(Self.facts(modality: "ES"), routes: [])
        #expect(decision.outcome == .unmatched)
        #expect(decision.summary == "unmatched")
    }

    @Test func `every condition of every route is explained, also after the winner`() throws {
        let routes = [
            Self.route("endoscopy", try Self.set(("modality", "ES"))),
            Self.route("heart", try Self.set(("modality", "MR"), ("bodyPart", "HEART"))),
        ]
        let decision = RouteDecision(Self.facts(modality: "ES"), routes: routes)
        let conditions = decision.routes.flatMap(\.sets).flatMap(\.conditions)
        #expect(conditions.map(\.condition) == ["modality", "modality", "bodyPart"])
        #expect(
            conditions.map(\.result.reason) == [
                "Modality is \"ES\"", "Modality is \"ES\", not MR", "Body Part Examined is missing",
            ])
    }

    @Test func `a decision survives its encoding`() throws {
        let routes = [Self.route("colon", try Self.set(("modality", "ES"), ("bodyPart", "COLON")))]
        for facts in [
            Self.facts(modality: "ES"), Self.facts(modality: "ES", bodyPart: "COLON"), Self.facts(modality: "CT"),
        ] {
            let decision = RouteDecision(facts, routes: routes)
            let data = try JSONEncoder().encode(decision)
            #expect(try JSONDecoder().decode(RouteDecision.self, from: data) == decision)
        }
    }

    @Test func `the summary quotes no attribute`() throws {
        let routes = [Self.route("heart", try ConditionSet(.map([.init("studyDescription", .text("Smith's heart"))])))]
        for text in ["Doe's colon", "Smith's heart", nil] {
            let facts = StackFacts(studyDescription: text, numberOfInstances: 1)
            let summary = RouteDecision(facts, routes: routes).summary
            #expect(!summary.contains("Smith") && !summary.contains("Doe"))
        }
    }

    @Test(arguments: [
        ("sliceSpacin", "sliceSpacing"), ("modlaity", "modality"), ("MODALITY", "modality"), ("colour", nil),
        ("nto", "not"),
    ])
    func `a slip of the pen is recognised`(_ word: String, _ meant: String?) {
        #expect(Spelling.nearest(to: word, among: RouteConditions.all.map { $0.key }) == meant)
    }
}
