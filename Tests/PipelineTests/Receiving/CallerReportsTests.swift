// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Persistence
import Pipeline
import Platform
import Testing

/// What strangers can write into the log and the trail.
@Suite struct CallerReportsTests {
    private static func address(_ number: Int) -> IPAddress { IPAddress("10.1.\(number / 256).\(number % 256)")! }

    @Test func `a kind of report is written ten times a minute, and twice for one caller`() {
        var limiter = ReportLimiter()
        let ofOne = (0..<1000).count { _ in limiter.admit("a", from: Self.address(1), now: .zero) }
        #expect(ofOne == 2)
        // Another caller and another kind are still seen.
        #expect(limiter.admit("a", from: Self.address(2), now: .seconds(1)))
        #expect(limiter.admit("b", from: Self.address(1), now: .seconds(1)))
        let ofMany = (3..<1003).count { limiter.admit("a", from: Self.address($0), now: .seconds(2)) }
        #expect(ofMany == 7)
    }

    @Test func `after the minute a summary has the number of the others`() {
        var limiter = ReportLimiter()
        for index in 0..<3000 { _ = limiter.admit("a", from: Self.address(index % 3), now: .milliseconds(index)) }
        #expect(limiter.summaries(now: .seconds(59)).isEmpty)
        let summaries = limiter.summaries(now: .seconds(60))
        #expect(summaries.map(\.kind) == ["a"] && summaries.map(\.count) == [2994] && summaries.map(\.callers) == [3])
        #expect(limiter.summaries(now: .seconds(1000)).isEmpty)
        #expect(limiter.admit("a", from: Self.address(1), now: .seconds(1000)))
    }

    @Test func `no report is lost from the counts`() {
        var random = SystemRandomNumberGenerator()
        var limiter = ReportLimiter()
        var now = Duration.zero
        var (noted, written, counted) = (0, 0, 0)
        for _ in 0..<20_000 {
            now += .milliseconds(Int.random(in: 0...40, using: &random))
            let kind = ["a", "b", "c"].randomElement(using: &random) ?? "a"
            noted += 1
            if limiter.admit(kind, from: Self.address(Int.random(in: 0..<50, using: &random)), now: now) {
                written += 1
            }
            if Int.random(in: 0..<100, using: &random) == 0 {
                counted += limiter.summaries(now: now).reduce(0) { $0 + $1.count }
            }
        }
        counted += limiter.summaries(now: now, all: true).reduce(0) { $0 + $1.count }
        #expect(written + counted == noted)
        #expect(written < 30 * 15)
    }

    @Test func `the trail has the first reports and the number of the others`() async throws {
        try await RunningListener.with { listener in
            let reports = CallerReports(journal: listener.journal, clock: .system, logger: .silent)
            for index in 0..<500 {
                reports.note(.rejected(.callingAETitleNotRecognized), from: Self.address(1), AETitle("S\(index)"))
                reports.note(.faulty(.notARequest), from: Self.address(1), nil)
            }
            await reports.write(all: true)
            let records = try await listener.records(.associationRejected)
            #expect(records.count == 6)
            #expect(records.reduce(0) { $0 + Int($1.count ?? 1) } == 1000)
            #expect(records.compactMap(\.reason).allSatisfy { !$0.contains("S1") })
        }
    }
}
