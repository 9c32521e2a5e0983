// SPDX-License-Identifier: Apache-2.0

import Foundation
import Pipeline
import Platform
import Testing

@Suite struct HandshakePlacesTests {
    /// Places, and the handshakes that took them, oldest first.
    private final class Callers {
        var places = HandshakePlaces()
        var ids: [UUID] = []

        /// Whether a new caller gets a place.
        func take(_ address: String, at now: Duration = .zero) -> Bool {
            let id = UUID()
            let isTaken = places.take(id, from: IPAddress(address)!, now: now)
            if isTaken { ids.append(id) }
            return isTaken
        }

        /// Takes `count` places for each address.
        func fill(_ addresses: [String], count: Int = 1) -> Bool {
            addresses.allSatisfy { address in (0..<count).allSatisfy { _ in take(address) } }
        }

        var givingWay: [UUID] { ids.filter { places.givesWay($0) } }
    }

    private static let here = "10.1.0.7"

    @Test func `callers of one network wait, and those of other networks do not`() {
        let callers = Callers()
        #expect(callers.fill([Self.here], count: HandshakePlaces.perNetwork))
        #expect(!callers.take(Self.here))
        #expect(callers.take("10.1.0.8"))
        #expect(callers.fill((1..<HandshakePlaces.perNetwork).map { "fd00::\($0)" }))
        #expect(!callers.take("fd00::ffff"))
    }

    @Test func `old handshakes give way to a caller that waits, and young ones do not`() {
        let callers = Callers()
        #expect(callers.fill([Self.here], count: HandshakePlaces.perNetwork - 1))
        #expect(callers.take(Self.here, at: .milliseconds(1)))
        #expect(!callers.take(Self.here, at: HandshakePlaces.patience - .milliseconds(1)))
        #expect(callers.givingWay.isEmpty)
        #expect(!callers.take(Self.here, at: HandshakePlaces.patience))
        #expect(callers.givingWay == callers.ids.dropLast())
        callers.places.release(callers.ids[0])
        #expect(callers.take(Self.here, at: HandshakePlaces.patience))
    }

    @Test func `if all places are taken, the busiest network gives way`() {
        let callers = Callers()
        let others = HandshakePlaces.all - HandshakePlaces.perNetwork
        #expect(callers.fill([Self.here], count: HandshakePlaces.perNetwork))
        #expect(callers.fill((0..<others).map { "10.2.0.\($0)" }))
        #expect(!callers.take("10.3.0.1", at: .seconds(1)))
        #expect(callers.givingWay == Array(callers.ids[..<HandshakePlaces.perNetwork]))
        #expect(callers.places.count == HandshakePlaces.all)
    }
}
