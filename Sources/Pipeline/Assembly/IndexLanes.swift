// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Platform
import Synchronization

/// Brings the acknowledged instances to the index workers, and the findings to the journal.
///
/// One lane per worker takes the next instance of the ``IndexQueue``. One recorder writes the findings of all lanes, so
/// that an instance that takes long does not delay the others.
final class IndexLanes<Finding: Sendable>: Sendable {
    /// The end of an attempt to read an instance.
    enum Answer: Sendable {
        case found(Finding)
        /// The instance killed or overran workers, and is not tried again.
        case givenUp(Finding)
        case failed(IndexFailures)
        /// The node stops.
        case stopped
    }

    /// Most findings in one transaction.
    private static var batch: Int { 64 }
    /// Findings that wait for the journal at most.
    ///
    /// The lanes wait until there are fewer.
    private static var mostFindings: Int { 256 }
    /// The pause after a batch that is not full.
    ///
    /// A transaction per finding would slow the listener's disk.
    private static var pauseAfterSmallBatch: Duration { .milliseconds(150) }
    /// The pause between two readings of the list of arrivals.
    private static var pauseBetweenReadings: Duration { .milliseconds(50) }

    private struct State: Sendable {
        /// All rows up to this one have been taken in.
        var complete = InstanceID(rawValue: 0)
        /// Rows after `complete` that have been taken in.
        ///
        /// A row with a lower number was not durable yet.
        var taken: Set<InstanceID> = []
        var queue: IndexQueue
        /// The number of lanes at work.
        var lanes = 0
        /// Findings that are not recorded yet.
        var findings: [Finding] = []
        /// Whether no lane will find anything any more.
        var isOver = false
    }

    private let places: Int
    private let shared: SharedSeriesAssembly
    private let journal: RetryingJournal
    private let stop: StopFlag
    /// Wakes the recorder.
    private let somethingFound = Signal()
    private let state: Mutex<State>

    /// - Parameters:
    ///   - places: the number of index workers.
    ///   - shared: learns which instances wait to be indexed.
    ///   - journal: has the list of arrivals.
    ///   - stop: set when the node stops.
    init(places: Int, shared: SharedSeriesAssembly, journal: RetryingJournal, stop: StopFlag) {
        self.places = places
        self.shared = shared
        self.journal = journal
        self.stop = stop
        state = Mutex(State(queue: IndexQueue(places: places)))
    }

    /// Reads and records instances until the service stops.
    ///
    /// - Parameters:
    ///   - read: reads one instance. A task that is cancelled gives up and answers `.stopped`.
    ///   - record: records findings.
    /// - Throws: an error of the list of arrivals. The call may be repeated: nothing is lost.
    func run(
        read: @escaping @Sendable (IndexQueue.Turn) async -> Answer,
        record: @escaping @Sendable ([Finding]) async -> Void
    ) async throws {
        state.withLock { $0.isOver = false }
        let failure = await withTaskGroup(of: Void.self) { recorder in
            recorder.addTask { await self.recordFindings(with: record) }
            var failure: (any Error)?
            do { try await self.keepLanesBusy(with: read) } catch { failure = error }
            self.state.withLock { $0.isOver = true }
            self.somethingFound.raise()
            return failure
        }
        if let failure { throw failure }
    }

    /// Takes in all instances that were acknowledged since the last call.
    ///
    /// The quiet time of their series counts from now.
    func takeIn() async throws {
        var cursor = state.withLock { $0.complete }
        var gap: InstanceID?
        var isNews = false
        while true {
            let after = cursor
            guard let page = try await journal.read({ try $0.arrivals(after: after) }) else { return }
            guard let last = page.last else { break }
            cursor = last
            gap = gap ?? page.firstUnsettled
            let reached = gap
            let found = state.withLock { state in
                // The other loop of the assembler may have taken in the same rows meanwhile.
                let new = page.instances.filter { $0.id > state.complete && !state.taken.contains($0.id) }
                for instance in new { state.queue.add(instance) }
                state.taken.formUnion(new.map(\.id))
                let complete = reached.map { InstanceID(rawValue: $0.rawValue - 1) } ?? last
                if complete > state.complete {
                    state.complete = complete
                    state.taken = state.taken.filter { $0 > complete }
                }
                shared.update { assembly, now in
                    for instance in new {
                        assembly.received(
                            instance.id, association: instance.association, sender: instance.sender, now: now)
                    }
                }
                return !new.isEmpty
            }
            isNews = isNews || found
        }
        if isNews { shared.somethingArrived.raise() }
    }

    /// Has an instance read again, after the others of its association.
    func putBack(_ instance: ReceivedInstance) {
        state.withLock { $0.queue.add(instance) }
        shared.somethingArrived.raise()
    }

    // MARK: Lanes

    private func keepLanesBusy(with read: @escaping @Sendable (IndexQueue.Turn) async -> Answer) async throws {
        try await withThrowingDiscardingTaskGroup { lanes in
            while !stop.isSet, !Task.isCancelled {
                try await takeIn()
                while let turn = openLane() { lanes.addTask { await self.work(from: turn, with: read) } }
                await Pause.wait(Self.pauseBetweenReadings)
                let now = shared.now
                let next = state.withLock { $0.queue.nextChange(after: now) }
                await shared.somethingArrived.wait(atMost: next.map { $0 - now })
            }
            // An instance in flight is read again after the next start.
            lanes.cancelAll()
        }
    }

    private func openLane() -> IndexQueue.Turn? {
        state.withLock { state in
            guard state.lanes < places, let turn = next(in: &state) else { return nil }
            state.lanes += 1
            return turn
        }
    }

    private func next(in state: inout State) -> IndexQueue.Turn? {
        guard !stop.isSet, state.findings.count < Self.mostFindings else { return nil }
        return state.queue.next(now: shared.now)
    }

    /// The life of one lane: it ends when nothing may be read now.
    private func work(
        from first: IndexQueue.Turn, with read: @escaping @Sendable (IndexQueue.Turn) async -> Answer
    ) async {
        var current: IndexQueue.Turn? = first
        while let turn = current {
            let answer = await read(turn)
            current = state.withLock { state in
                let goesOn = settle(turn, answer, in: &state)
                if goesOn, let following = next(in: &state) { return following }
                state.lanes -= 1
                return nil
            }
            somethingFound.raise()
        }
        shared.somethingArrived.raise()
    }

    private func settle(_ turn: IndexQueue.Turn, _ answer: Answer, in state: inout State) -> Bool {
        let now = shared.now
        switch answer {
        case .found(let finding):
            state.findings.append(finding)
            state.queue.ended(turn, .answered, now: now)
        case .givenUp(let finding):
            state.findings.append(finding)
            state.queue.ended(turn, .givenUp, now: now)
        case .failed(let failures): state.queue.ended(turn, .failed(failures), now: now)
        case .stopped:
            state.queue.ended(turn, .interrupted, now: now)
            return false
        }
        return true
    }

    // MARK: Findings

    private func recordFindings(with record: @Sendable ([Finding]) async -> Void) async {
        while true {
            let (batch, isOver) = state.withLock { state in
                let batch = Array(state.findings.prefix(Self.batch))
                state.findings.removeFirst(batch.count)
                return (batch, state.isOver)
            }
            if batch.isEmpty {
                if isOver { return }
                await somethingFound.wait(atMost: nil)
                continue
            }
            await record(batch)
            shared.somethingChanged.raise()
            // Lanes may wait until fewer findings wait.
            shared.somethingArrived.raise()
            if batch.count < Self.batch, !isOver { await Pause.wait(Self.pauseAfterSmallBatch) }
        }
    }
}
