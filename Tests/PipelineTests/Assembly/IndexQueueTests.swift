// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Pipeline
import Supervision
import Testing

/// Whose instance is indexed next.
@Suite struct IndexQueueTests {
    private let first = UUID()
    private let second = UUID()

    private func instance(_ number: Int64, of association: UUID, from peer: String = "CT1") -> ReceivedInstance {
        ReceivedInstance(
            id: InstanceID(rawValue: number), path: "/\(number)", sopClassUID: "1.2", sopInstanceUID: "1.2.\(number)",
            transferSyntaxUID: "1.2.840.10008.1.2.1", association: association, callingAETitle: peer,
            peerAddress: "10.0.0.1", receivedAt: Date(timeIntervalSince1970: 0))
    }

    /// Serves the queue with one worker until it is empty.
    ///
    /// - Returns: the instances in the order in which they were done, with the second at which each was.
    private func served(
        _ queue: IndexQueue, seconds: (Int64) -> Double, ending: (Int64) -> IndexQueue.Ending = { _ in .answered }
    ) -> [(number: Int64, at: Double)] {
        var (queue, now) = (queue, 0.0)
        var done: [(Int64, Double)] = []
        while let turn = queue.next(now: .seconds(now)) {
            now += seconds(turn.instance.id.rawValue)
            queue.ended(turn, ending(turn.instance.id.rawValue), now: .seconds(now))
            done.append((turn.instance.id.rawValue, now))
        }
        #expect(queue.count == 0)
        return done
    }

    @Test func `the instances of one association keep the order of receipt`() {
        var queue = IndexQueue(places: 3)
        for number in 1...20 { queue.add(instance(Int64(number), of: first)) }
        #expect(served(queue) { _ in 0.1 }.map(\.number) == Array(1...20))
    }

    @Test func `associations and peers take turns by the time that they use`() {
        var queue = IndexQueue(places: 1)
        // 30 instances of 4 s each from one peer, then 20 of 10 ms from another, then 20 on another association.
        for number in 1...30 { queue.add(instance(Int64(number), of: first)) }
        for number in 101...120 { queue.add(instance(Int64(number), of: second, from: "MR1")) }
        let third = UUID()
        for number in 201...220 { queue.add(instance(Int64(number), of: third)) }
        let done = served(queue) { $0 < 100 ? 4 : 0.01 }
        let last = { (range: ClosedRange<Int64>) in done.last { range.contains($0.number) }?.at ?? .infinity }
        // Each waits for one slow instance, or for one of each level, and not for thirty.
        #expect(last(101...120) < 5)
        #expect(last(201...220) < 9)
    }

    @Test func `a slow peer gets a second place, and never the last one`() {
        var queue = IndexQueue(places: 3)
        for number in 1...4 { queue.add(instance(Int64(number), of: UUID())) }
        #expect(queue.next(now: .zero) != nil)
        #expect(queue.next(now: .zero) == nil)
        #expect(queue.next(now: .milliseconds(900)) == nil)
        #expect(queue.next(now: .seconds(1)) != nil)
        #expect(queue.next(now: .seconds(100)) == nil)
        queue.add(instance(9, of: second, from: "MR1"))
        #expect(queue.next(now: .seconds(100))?.instance.id.rawValue == 9)
    }

    @Test func `an association has one instance with the workers`() {
        var queue = IndexQueue(places: 3)
        for number in 1...4 { queue.add(instance(Int64(number), of: first)) }
        #expect(queue.next(now: .zero) != nil)
        #expect(queue.next(now: .seconds(100)) == nil)
    }

    @Test func `a peer whose files kill workers comes after the others`() {
        var queue = IndexQueue(places: 1)
        for number in 1...10 { queue.add(instance(Int64(number), of: first)) }
        for number in 101...400 { queue.add(instance(Int64(number), of: second, from: "MR1")) }
        let done = served(queue, seconds: { _ in 0.02 }, ending: { $0 < 100 ? .givenUp : .answered }).map(\.number)
        // 300 instances take 6 s of a worker: a death counts a second, the next one two seconds, and so on.
        #expect(done.firstIndex(of: 400) ?? 999 <= 303)
        #expect(done.count == 310)
    }

    @Test func `an instance is tried again after a pause, before the others of its association`() throws {
        var queue = IndexQueue(places: 1)
        queue.add(instance(1, of: first))
        queue.add(instance(2, of: first))
        var turn = try #require(queue.next(now: .zero))
        let isOver = turn.failures.addAnother()
        #expect(!isOver)
        queue.ended(turn, .failed(turn.failures), now: .seconds(1))
        #expect(queue.next(now: .seconds(1)) == nil)
        #expect(queue.nextChange(after: .seconds(1)) == .milliseconds(1100))
        turn = try #require(queue.next(now: .milliseconds(1100)))
        #expect(turn.instance.id.rawValue == 1)
        #expect(turn.failures.count == 1)
        queue.ended(turn, .interrupted, now: .seconds(2))
        #expect(queue.next(now: .seconds(2))?.instance.id.rawValue == 1)
    }

    @Test(arguments: [4, 5, 6, 8, 11]) func `a trap is the first and last attempt`(signal: Int32) {
        var failures = IndexFailures()
        let isOver = failures.add(.signalled(signal))
        #expect(isOver)
    }

    @Test func `other deaths are tried again: twice the same is enough, and SIGKILL is rarely the file's fault`() {
        func attempts(_ deaths: [WorkerDeath]) -> Int {
            var failures = IndexFailures()
            return deaths.prefix { !failures.add($0) }.count + 1
        }
        #expect(attempts([.exited(1), .exited(1), .exited(1)]) == 2)
        #expect(attempts([.exited(1), .exited(2), .exited(1)]) == 3)
        // A disk that fails under a mapped file.
        #expect(attempts([WorkerDeath](repeating: .signalled(7), count: 9)) == 3)
        #expect(attempts([WorkerDeath](repeating: .signalled(9), count: 30)) == 20)
    }

    @Test func `ten thousand associations of one instance each are served without delay`() {
        var queue = IndexQueue(places: 1)
        for number in 1...10_000 { queue.add(instance(Int64(number), of: UUID())) }
        let start = ContinuousClock.now
        #expect(served(queue) { _ in 0.001 }.map(\.number) == Array(1...10_000))
        #expect(ContinuousClock.now - start < .seconds(3))
    }
}
