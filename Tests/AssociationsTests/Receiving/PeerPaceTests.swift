// SPDX-License-Identifier: Apache-2.0

import Associations
import Testing

/// The judgement about a peer, at made-up times.
@Suite struct PeerPaceTests {
    private static let idle = PeerPace.Look(received: 1000, unread: 0)

    private static func pace(idleLimit: Duration?) -> PeerPace {
        PeerPace(idleLimit: idleLimit, transfer: "a data set", look: idle, now: .zero)
    }

    private static func look(_ received: UInt64, unread: Int = 0) -> PeerPace.Look {
        PeerPace.Look(received: 1000 + received, unread: unread)
    }

    @Test func `a peer has the idle limit until its next request`() {
        var pace = Self.pace(idleLimit: .seconds(120))
        #expect(pace.judge(Self.idle, now: .seconds(119)) == nil)
        #expect(pace.judge(Self.idle, now: .seconds(121)) == .tooSlow(waitingFor: "a request"))
    }

    @Test func `a request that has begun has to keep up 1 KiB per second`() {
        var pace = Self.pace(idleLimit: .seconds(120))
        #expect(pace.judge(Self.look(1), now: .seconds(100)) == nil)
        #expect(pace.judge(Self.look(20), now: .seconds(129)) == nil)
        #expect(pace.judge(Self.look(21), now: .seconds(131)) == .tooSlow(waitingFor: "a data set"))
    }

    @Test func `a transfer is measured in windows of 30 seconds`() {
        var pace = Self.pace(idleLimit: nil)
        #expect(pace.judge(Self.look(5), now: .seconds(29)) == nil)
        #expect(pace.judge(Self.look(40_000), now: .seconds(31)) == nil)
        // The new window began at 31 s.
        #expect(pace.judge(Self.look(50_000), now: .seconds(60)) == nil)
        #expect(pace.judge(Self.look(50_000), now: .seconds(62)) == .tooSlow(waitingFor: "a data set"))
    }

    @Test func `bytes that the receiver leaves unread are not the peer's fault`() {
        var pace = Self.pace(idleLimit: nil)
        #expect(pace.judge(Self.look(100, unread: 100), now: .seconds(10)) == nil)
        #expect(pace.judge(Self.look(100, unread: 100), now: .seconds(129)) == nil)
        #expect(pace.judge(Self.look(100, unread: 100), now: .seconds(131)) == .receiverHangs)
        // Reading goes on: the peer's window begins anew.
        pace = Self.pace(idleLimit: nil)
        #expect(pace.judge(Self.look(100, unread: 100), now: .seconds(100)) == nil)
        #expect(pace.judge(Self.look(100), now: .seconds(129)) == nil)
        #expect(pace.judge(Self.look(100), now: .seconds(131)) == .tooSlow(waitingFor: "a data set"))
    }
}
