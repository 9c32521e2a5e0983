// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Pipeline
import Testing

/// When series close: one test per event and per thing that keeps a series open.
@Suite struct SeriesAssemblyTests {
    private let series = SeriesID(rawValue: 1)
    private let other = SeriesID(rawValue: 2)
    private let association = UUID()
    private let peer = SendingPeer(aeTitle: "CT1", address: "10.0.0.1")

    private func assembly(quiet: Int = 10, atMost: Int = 900) -> SeriesAssembly {
        SeriesAssembly(
            configuration: SeriesConfiguration(
                waiting: .init(quietSeconds: quiet, waitAtMostSeconds: atMost),
                perModality: ["ES": .init(quietSeconds: 120, waitAtMostSeconds: atMost)]))
    }

    private func instance(_ number: Int64) -> InstanceID { InstanceID(rawValue: number) }

    private func receive(
        _ assembly: inout SeriesAssembly, _ number: Int64, into series: SeriesID? = nil, modality: String = "MR",
        revision: Int = 1, at second: Int, indexedAt: Int? = nil
    ) {
        assembly.received(instance(number), association: association, sender: peer, now: .seconds(second))
        assembly.indexed(
            instance(number), in: series ?? self.series, modality: modality, revision: revision,
            now: .seconds(indexedAt ?? second))
    }

    private func due(_ assembly: SeriesAssembly, at second: Int, open: Bool = false) -> SeriesAssembly.Actions {
        assembly.due(now: .seconds(second)) { open && !$0.isEmpty }
    }

    @Test func `a series closes when its quiet time has passed since the receipt of its last instance`() {
        var assembly = assembly()
        receive(&assembly, 1, at: 100)
        receive(&assembly, 2, at: 105, indexedAt: 112)
        #expect(due(assembly, at: 112) == .init(close: [], next: .seconds(115)))
        #expect(due(assembly, at: 114).close == [])
        #expect(due(assembly, at: 115).close == [series])
    }

    @Test func `an instance put in between starts the quiet time anew`() {
        var assembly = assembly()
        receive(&assembly, 1, at: 100)
        receive(&assembly, 2, at: 109)
        #expect(due(assembly, at: 110).close == [])
        #expect(due(assembly, at: 119).close == [series])
    }

    @Test func `an instance that leaves a series starts its quiet time anew, and its association keeps it open`() {
        var assembly = assembly()
        receive(&assembly, 1, at: 100)
        assembly.received(instance(2), association: association, now: .seconds(108))
        assembly.lost(instance(2), from: series, modality: "MR", revision: 3, now: .seconds(109))
        assembly.indexed(instance(2), in: other, modality: "MR", revision: 1, now: .seconds(109))
        #expect(due(assembly, at: 117).close == [])
        #expect(due(assembly, at: 128, open: true).close == [])
        #expect(due(assembly, at: 118).close == [other])
        #expect(due(assembly, at: 128).close == [series, other])
    }

    @Test func `an instance of the same association that is not indexed keeps the series open until the longest wait`()
    {
        var assembly = assembly(atMost: 900)
        receive(&assembly, 1, at: 100)
        assembly.received(instance(2), association: association, sender: peer, now: .seconds(104))
        #expect(due(assembly, at: 999) == .init(close: [], next: .seconds(1000)))
        #expect(due(assembly, at: 1000).close == [series])
        assembly.indexed(instance(2), in: other, modality: "MR", revision: 1, now: .seconds(500))
        #expect(due(assembly, at: 500).close == [series, other])
    }

    @Test func `a short longest wait leaves the index workers a minute for the same association`() {
        var assembly = assembly(atMost: 5)
        receive(&assembly, 1, at: 100)
        assembly.received(instance(2), association: association, sender: peer, now: .seconds(104))
        #expect(due(assembly, at: 110) == .init(close: [], next: .seconds(170)))
        #expect(due(assembly, at: 170).close == [series])
    }

    @Test func `another association of the same peer keeps the series open for a shorter time`() {
        var assembly = assembly(atMost: 900)
        receive(&assembly, 1, at: 100)
        assembly.received(instance(2), association: UUID(), sender: peer, now: .seconds(104))
        #expect(due(assembly, at: 110) == .init(close: [], next: .seconds(140)))
        #expect(due(assembly, at: 140).close == [series])
        var brief = self.assembly(atMost: 20)
        receive(&brief, 1, at: 100)
        brief.received(instance(2), association: UUID(), sender: peer, now: .seconds(104))
        #expect(due(brief, at: 110) == .init(close: [], next: .seconds(120)))
        #expect(due(brief, at: 120).close == [series])
    }

    @Test func `index work of a peer that brought nothing of a series does not delay its closing`() {
        var assembly = assembly()
        receive(&assembly, 1, at: 100)
        let stranger = SendingPeer(aeTitle: "CT2", address: "10.0.0.1")
        for number in 2..<1000 {
            assembly.received(instance(Int64(number)), association: UUID(), sender: stranger, now: .seconds(104))
        }
        #expect(due(assembly, at: 110) == .init(close: [], next: .seconds(112)))
        #expect(due(assembly, at: 112).close == [series])
    }

    @Test func `a series from before the start waits for every peer, because its own are not known`() {
        var assembly = assembly()
        assembly.found(series, modality: "MR", revision: 1, now: .seconds(100))
        assembly.received(instance(2), association: association, sender: peer, now: .seconds(100))
        #expect(due(assembly, at: 110) == .init(close: [], next: .seconds(140)))
        #expect(due(assembly, at: 140).close == [series])
    }

    @Test func `an instance received after the quiet time does not keep the series open`() {
        var assembly = assembly()
        receive(&assembly, 1, at: 100)
        assembly.received(instance(2), association: association, now: .seconds(113))
        #expect(due(assembly, at: 113).close == [series])
    }

    @Test func `an instance noticed just after the quiet time may have come before its end`() {
        var assembly = assembly()
        receive(&assembly, 1, at: 100)
        assembly.received(instance(2), association: association, now: .seconds(111))
        #expect(due(assembly, at: 111).close == [])
        assembly.settled(instance(2))
        #expect(due(assembly, at: 111).close == [series])
    }

    @Test func `an instance that turns out to belong nowhere is forgotten`() {
        var assembly = assembly()
        receive(&assembly, 1, at: 100)
        assembly.received(instance(2), association: association, now: .seconds(104))
        assembly.settled(instance(2))
        #expect(due(assembly, at: 110).close == [series])
    }

    @Test func `an open association keeps its series open until the longest wait`() {
        var assembly = assembly(atMost: 60)
        receive(&assembly, 1, at: 100)
        #expect(due(assembly, at: 110, open: true) == .init(close: [], next: .seconds(160)))
        #expect(due(assembly, at: 110, open: false).close == [series])
        #expect(due(assembly, at: 160, open: true).close == [series])
    }

    @Test func `an association that brought nothing of a series does not keep it open`() {
        var assembly = assembly()
        assembly.found(series, modality: "MR", revision: 1, now: .seconds(100))
        #expect(due(assembly, at: 110, open: true).close == [series])
    }

    @Test func `a series that was open when the node started waits anew`() {
        var assembly = assembly()
        assembly.found(series, modality: "MR", revision: 1, now: .seconds(50))
        #expect(due(assembly, at: 59).close == [])
        #expect(due(assembly, at: 60).close == [series])
    }

    @Test func `a modality may have waiting times of its own`() {
        var assembly = assembly()
        receive(&assembly, 1, modality: "ES", at: 100)
        #expect(due(assembly, at: 219) == .init(close: [], next: .seconds(220)))
        #expect(due(assembly, at: 220).close == [series])
    }

    @Test func `the quiet time doubles with each revision from the third on, up to an hour`() {
        let waiting = SeriesConfiguration.Waiting(quietSeconds: 10)
        let seconds = [1, 2, 3, 4, 9, 10, 40].map { SeriesAssembly.quietTime(waiting, revision: $0) }
        #expect(seconds == [10, 10, 20, 40, 1280, 2560, 3600].map { .seconds($0) })
        #expect(SeriesAssembly.quietTime(.init(quietSeconds: 7200), revision: 3) == .seconds(7200))
        #expect(SeriesAssembly.quietTime(.init(quietSeconds: 0), revision: 1) == .zero)
        var assembly = assembly()
        receive(&assembly, 1, revision: 3, at: 100)
        #expect(due(assembly, at: 119).close == [])
        #expect(due(assembly, at: 120).close == [series])
    }

    @Test func `a closed series is forgotten`() {
        var assembly = assembly()
        receive(&assembly, 1, at: 100)
        assembly.closed(series)
        #expect(due(assembly, at: 1000) == .init(close: [], next: nil))
    }

    @Test func `a late instance opens the next revision, which waits from its receipt`() {
        var assembly = assembly()
        receive(&assembly, 1, at: 100)
        assembly.closed(series)
        receive(&assembly, 2, revision: 2, at: 500)
        #expect(due(assembly, at: 509).close == [])
        #expect(due(assembly, at: 510).close == [series])
    }

    @Test func `series close in the order of their rows and the earliest next one is told`() {
        var assembly = assembly()
        receive(&assembly, 2, into: other, at: 100)
        receive(&assembly, 1, into: series, at: 100)
        receive(&assembly, 3, into: SeriesID(rawValue: 3), at: 107)
        #expect(due(assembly, at: 110) == .init(close: [series, other], next: .seconds(117)))
    }
}
