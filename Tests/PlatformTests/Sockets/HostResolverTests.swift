// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import Synchronization
import Testing

@Suite struct HostResolverTests {
    private static let address = IPAddress("10.1.0.7")!

    /// A resolver that answers as it is told, and a clock that is set.
    private final class Stage: Sendable {
        struct State {
            var answer = HostResolver.LookUp.addresses([HostResolverTests.address])
            var now = Duration.zero
            var lookUps = 0
        }

        private let state = Mutex(State())
        private let gate = DispatchSemaphore(value: 0)

        func set(_ answer: HostResolver.LookUp) { state.withLock { $0.answer = answer } }
        func pass(_ time: Duration) { state.withLock { $0.now += time } }
        var lookUps: Int { state.withLock { $0.lookUps } }

        func resolver(blocks: Bool = false) -> HostResolver {
            HostResolver(
                lookUp: { [self] _ in
                    if blocks { gate.wait() }
                    return state.withLock {
                        $0.lookUps += 1
                        return $0.answer
                    }
                }, clock: { [self] in state.withLock { $0.now } })
        }

        func open() { gate.signal() }
    }

    /// Waits for the look-ups to end.
    private func settle(_ stage: Stage, _ lookUps: Int) async throws {
        for _ in 0..<200 where stage.lookUps < lookUps { try await Task.sleep(for: .milliseconds(10)) }
        try await Task.sleep(for: .milliseconds(30))
    }

    @Test func `an address is its own answer`() {
        #expect(Stage().resolver().known("10.1.0.7") == [Self.address])
    }

    @Test func `a resolver that does not answer holds up nobody`() async throws {
        let stage = Stage()
        let resolver = stage.resolver(blocks: true)
        let start = MonotonicClock.now()
        #expect(resolver.known("pacs") == nil)
        #expect(resolver.known("other") == nil)
        #expect(MonotonicClock.now() - start < .seconds(1))
        let waited = try await DedicatedThread.run(name: "test-wait") {
            (resolver.addresses(of: "pacs", within: .milliseconds(200)), MonotonicClock.now() - start)
        }
        #expect(waited.0 == .noAnswer && waited.1 < .seconds(2))
        stage.open()
        stage.open()
        try await settle(stage, 2)
        #expect(resolver.known("pacs") == [Self.address])
    }

    @Test func `an answer is renewed after a minute and used for an hour`() async throws {
        let stage = Stage()
        let resolver = stage.resolver()
        _ = resolver.addresses(of: "pacs", within: .seconds(5))
        stage.pass(.seconds(59))
        #expect(resolver.known("pacs") == [Self.address] && stage.lookUps == 1)
        stage.set(.noAnswer)
        stage.pass(.seconds(2))
        #expect(resolver.known("pacs") == [Self.address])
        try await settle(stage, 2)
        #expect(stage.lookUps == 2)
        #expect(resolver.known("pacs") == [Self.address])
        stage.pass(.seconds(3600))
        _ = resolver.known("pacs")
        try await settle(stage, 3)
        #expect(resolver.known("pacs") == [])
    }

    @Test func `an unknown name is asked for again after five seconds`() async throws {
        let stage = Stage()
        stage.set(.unknownName)
        let resolver = stage.resolver()
        #expect(resolver.addresses(of: "pacs", within: .seconds(5)) == .unknownName)
        #expect(resolver.known("pacs") == [] && stage.lookUps == 1)
        stage.set(.addresses([Self.address]))
        stage.pass(.seconds(5))
        _ = resolver.known("pacs")
        try await settle(stage, 2)
        #expect(resolver.known("pacs") == [Self.address])
    }

    @Test func `the names of this machine are looked up`() throws {
        guard case .addresses(let found) = IPAddress.lookUp("localhost") else {
            Issue.record("localhost is not known")
            return
        }
        #expect(found.allSatisfy { $0.isLoopback })
        #expect(IPAddress.ofThisMachine.contains { $0.isLoopback })
    }
}

@Suite struct BoundedByAddressTests {
    private static let (one, two) = (IPAddress("10.1.0.1")!, IPAddress("10.1.0.2")!)

    @Test func `a network pushes out its own oldest element`() {
        var list = BoundedByAddress<Int>(capacity: 10, perNetwork: 2)
        #expect(list.append(1, from: Self.one) == nil)
        #expect(list.append(2, from: Self.two) == nil)
        #expect(list.append(3, from: Self.one) == nil)
        #expect(list.append(4, from: Self.one) == 1)
        #expect(list.elements == [2, 3, 4])
    }

    @Test func `a full list gives up an element of the busiest network`() {
        var list = BoundedByAddress<Int>(capacity: 3, perNetwork: 3)
        for element in 1...2 { list.append(element, from: Self.one) }
        list.append(3, from: Self.two)
        #expect(list.append(4, from: Self.two) == 1)
        #expect(list.elements == [2, 3, 4])
        list.removeAll { $0 > 2 }
        #expect(list.append(5, from: Self.two) == nil)
        #expect(list.removeFirst() == 2)
        #expect(list.elements == [5])
    }

    @Test func `the addresses of one IPv6 network count as one`() throws {
        var list = BoundedByAddress<Int>(capacity: 10, perNetwork: 2)
        for element in 1...5 { list.append(element, from: try #require(IPAddress("fd00::\(element)"))) }
        #expect(list.elements == [4, 5])
    }
}
