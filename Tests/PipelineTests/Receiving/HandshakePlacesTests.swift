// SPDX-License-Identifier: Apache-2.0

import Foundation
import Pipeline
import Platform
import Testing

@Suite struct HandshakePlacesTests {
    private static let here = IPAddress("10.1.0.7")!

    /// Places of which `here` has all that one network may have, and the ids of those handshakes.
    private static func crowded(since: Duration = .zero) -> (HandshakePlaces, [UUID]) {
        var places = HandshakePlaces()
        let ids = (0..<HandshakePlaces.perNetwork).map { _ in UUID() }
        for id in ids { #expect(places.take(id, from: here, now: since)) }
        return (places, ids)
    }

    @Test func `callers of one network wait, and those of other networks do not`() {
        var (places, _) = Self.crowded()
        #expect(!places.take(UUID(), from: Self.here, now: .zero))
        #expect(places.take(UUID(), from: IPAddress("10.1.0.8")!, now: .zero))
        for host in 1..<HandshakePlaces.perNetwork {
            #expect(places.take(UUID(), from: IPAddress("fd00::\(host)")!, now: .zero))
        }
        #expect(!places.take(UUID(), from: IPAddress("fd00::ffff")!, now: .zero))
    }

    @Test func `old handshakes give way to a caller that waits, and young ones do not`() {
        var (places, ids) = Self.crowded()
        places.release(ids.removeLast())
        let young = UUID()
        #expect(places.take(young, from: Self.here, now: .milliseconds(1)))
        #expect(!places.take(UUID(), from: Self.here, now: HandshakePlaces.patience - .milliseconds(1)))
        #expect(!ids.contains { places.givesWay($0) })
        #expect(!places.take(UUID(), from: Self.here, now: HandshakePlaces.patience))
        #expect(ids.allSatisfy { places.givesWay($0) })
        #expect(!places.givesWay(young))
        places.release(ids[0])
        #expect(places.take(UUID(), from: Self.here, now: HandshakePlaces.patience))
    }

    @Test func `if all places are taken, the busiest network gives way`() {
        var (places, ids) = Self.crowded()
        for host in 0..<HandshakePlaces.all - HandshakePlaces.perNetwork {
            #expect(places.take(UUID(), from: IPAddress("10.2.0.\(host)")!, now: .zero))
        }
        #expect(!places.take(UUID(), from: IPAddress("10.3.0.1")!, now: .seconds(1)))
        #expect(places.givesWay(ids[0]))
        #expect(places.count == HandshakePlaces.all)
    }
}
