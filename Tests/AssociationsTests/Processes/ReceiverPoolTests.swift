// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Logging
import Platform
import TestSupport
import Testing

/// The receiver processes of a node: waiting, used again, replaced and reaped.
@Suite(.serialized, .enabled(if: ReceivingNode.hasKontur), .timeLimit(.minutes(1))) struct ReceiverPoolTests {
    /// Runs `body` on a thread beside a running pool, and stops the pool.
    private func pool<Result: Sendable>(
        _ limits: ReceiverLimits, executable: String = Executables.kontur,
        _ body: @escaping @Sendable (ReceiverPool) throws -> Result
    ) async throws -> Result {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let pool = try ReceiverPool(executable: executable, limits: limits, logger: logger)
        async let run: Void = DedicatedThread.run(name: "test-pool") { pool.run() }
        let result: Swift.Result<Result, any Error>
        do {
            result = .success(try await DedicatedThread.run(name: "test-body") { try body(pool) })
        } catch {
            result = .failure(error)
        }
        pool.stop()
        try await run
        return try result.get()
    }

    private static func isAlive(_ process: Int32) -> Bool { kill(process, 0) == 0 }

    private static func waits(_ condition: () -> Bool) -> Bool {
        for _ in 0..<200 {
            if condition() { return true }
            usleep(50_000)
        }
        return false
    }

    private static func take(_ pool: ReceiverPool) throws -> ReceiverProcess {
        try #require(pool.take(until: MonotonicClock.now() + .seconds(20)))
    }

    @Test func `processes wait before a peer calls, and end with the pool`() async throws {
        let process = try await pool(ReceiverLimits(most: 8)) { pool in
            // Two are expected to be in use, and two are spare.
            #expect(Self.waits { pool.condensedState.idle == 4 })
            let receiver = try Self.take(pool)
            pool.giveBack(receiver)
            return receiver.processID
        }
        #expect(Self.waits { !Self.isAlive(process) })
    }

    @Test func `a process that dies while it waits is replaced`() async throws {
        try await pool(ReceiverLimits(most: 8)) { pool in
            let receiver = try Self.take(pool)
            pool.giveBack(receiver)
            kill(receiver.processID, SIGKILL)
            #expect(Self.waits { !Self.isAlive(receiver.processID) })
            #expect(try Self.take(pool).processID != receiver.processID)
            #expect(Self.waits { pool.condensedState.idle >= 3 })
        }
    }

    @Test func `while associations are open, a process that no caller waits for is not started at once`() async throws {
        try await pool(ReceiverLimits(most: 8)) { pool in
            #expect(Self.waits { pool.condensedState.idle == 4 })
            let begin = MonotonicClock.now()
            let taken = try (0..<4).map { _ in try Self.take(pool) }
            #expect(Self.waits { pool.condensedState.idle == 2 })
            #expect(MonotonicClock.now() - begin >= .seconds(1))
            for process in taken { pool.giveBack(process) }
        }
    }

    @Test func `no more processes run than allowed`() async throws {
        try await pool(ReceiverLimits(most: 2)) { pool in
            let taken = [try Self.take(pool), try Self.take(pool)]
            #expect(pool.take(until: MonotonicClock.now() + .milliseconds(300)) == nil)
            pool.giveBack(taken[0])
            #expect(try Self.take(pool).processID == taken[0].processID)
        }
    }

    @Test func `a broken executable is tried again with growing pauses, and callers do not wait for it`() async throws {
        try await pool(ReceiverLimits(most: 4), executable: "/bin/false") { pool in
            #expect(Self.waits { pool.condensedState.failedStarts >= 3 })
            let start = MonotonicClock.now()
            #expect(pool.take(until: start + .seconds(20)) == nil)
            #expect(MonotonicClock.now() - start < .seconds(1))
            usleep(1_000_000)
            #expect(pool.condensedState.failedStarts <= 6)
        }
    }

    @Test func `a process serves many associations, and is replaced after its last`() async throws {
        try await ReceivingNode.with { node in
            let port = node.port
            try await DedicatedThread.run(name: "test-calls") {
                for _ in 0..<20 {
                    let client = RawClient(port: port)
                    #expect(client.associate(calling: ReceivingNode.caller, called: ReceivingNode.aeTitle))
                    client.send([5, 0, 0, 0, 0, 4, 0, 0, 0, 0])
                    #expect(client.receive() == .pdu(type: 6, body: [0, 0, 0, 0]))
                }
            }
            #expect(node.receivers.count == 20 && Set(node.receivers).count < 5)
        }
    }

    @Test func `a peer whose process is killed gets A-ABORT, and the next one is served`() async throws {
        try await ReceivingNode.with { node in
            let port = node.port
            let client = Unchecked(RawClient(port: port))
            let isOpen = try await DedicatedThread.run(name: "test-call") {
                client.value.associate(calling: ReceivingNode.caller, called: ReceivingNode.aeTitle)
            }
            #expect(isOpen)
            kill(try #require(node.receivers.first), SIGKILL)
            let answer = try await DedicatedThread.run(name: "test-call") { client.value.receive() }
            #expect(answer == .pdu(type: 7, body: [0, 0, 2, 0]))
            #expect(try await node.ending().contains("signal 9"))
            let next = try await DedicatedThread.run(name: "test-call") {
                RawClient(port: port).associate(calling: ReceivingNode.caller, called: ReceivingNode.aeTitle)
            }
            #expect(next)
        }
    }

    @Test func `a data set arrives bit by bit with its digest`() async throws {
        try await ReceivingNode.with { node in
            let port = node.port
            let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let statuses =
                try await DedicatedThread.run(name: "test-store") {
                    let client = RawClient(port: port)
                    guard client.associate(calling: ReceivingNode.caller, called: ReceivingNode.aeTitle) else {
                        return []
                    }
                    return (0..<3).map { _ in
                        client.send(RawClient.data(RawClient.store(), command: true, last: true))
                        for start in stride(from: 0, to: bytes.count, by: 16_000) {
                            let end = min(start + 16_000, bytes.count)
                            client.send(
                                RawClient.data(Array(bytes[start..<end]), command: false, last: end == bytes.count))
                        }
                        return client.status()
                    }
                } as [String?]
            #expect(statuses == ["0000", "0000", "0000"])
            #expect(node.received == [bytes, bytes, bytes])
        }
    }
}
