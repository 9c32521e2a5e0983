// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import Synchronization
import Testing

@Suite struct DedicatedThreadTests {
    private final class Held: Sendable {}

    /// Lets threads pass when enough have arrived.
    private final class Gate: Sendable {
        private let arrived = Mutex(0)

        func pass(with count: Int) -> Bool {
            arrived.withLock { $0 += 1 }
            for _ in 0..<2000 where arrived.withLock({ $0 }) < count { usleep(10_000) }
            return arrived.withLock { $0 } == count
        }
    }

    @Test func `bodies that block run side by side, however many there are`() async throws {
        let count = 40
        let gate = Gate()
        let all = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<count {
                group.addTask {
                    try await DedicatedThread.run(name: "test") { gate.pass(with: count) }
                }
            }
            return try await group.reduce(true) { $0 && $1 }
        }
        #expect(all)
    }

    @Test func `a thread that waits for its next body holds nothing of the last one`() async throws {
        for _ in 0..<5 {
            var held: Held? = Held()
            weak let observed = held
            try await DedicatedThread.run(name: "test") { [held] in withExtendedLifetime(held) {} }
            held = nil
            for _ in 0..<100 where observed != nil { await Pause.wait(.milliseconds(10)) }
            #expect(observed == nil)
        }
    }

    @Test func `an error of the body is thrown`() async {
        await #expect(throws: CancellationError.self) {
            try await DedicatedThread.run(name: "test") { throw CancellationError() }
        }
    }
}
