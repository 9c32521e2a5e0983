// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Lets threads share commits: one thread leads, the others follow.
///
/// The first thread that finds no leader takes every waiting entry and runs them as one batch. Entries that arrive
/// meanwhile form the next batch. A thread never waits for others to arrive: alone, it leads at once.
// `@unchecked`: `waiting`, `leading` and the results of the entries are used only under `turn`.
final class GroupCommit<Work>: @unchecked Sendable {
    /// One thread's part of a batch.
    final class Entry {
        let work: Work
        fileprivate(set) var failure: (any Error)?
        fileprivate var isDone = false

        init(_ work: Work) { self.work = work }

        /// Fails this entry alone; the rest of its batch is not affected.
        func fail(_ error: any Error) { failure = error }
    }

    private let turn = NSCondition()
    private var waiting: [Entry] = []
    private var leading = false
    private let largestBatch: Int
    private let run: ([Entry]) throws -> Void

    /// - Parameters:
    ///   - largestBatch: largest number of entries in one batch.
    ///   - run: makes a batch durable; every entry of the batch gets the error that it throws.
    init(largestBatch: Int, run: @escaping ([Entry]) throws -> Void) {
        self.largestBatch = largestBatch
        self.run = run
    }

    /// Returns when the entry's batch was run; blocks the calling thread.
    func submit(_ work: Work) throws {
        let entry = Entry(work)
        turn.lock()
        waiting.append(entry)
        while !entry.isDone {
            if leading {
                turn.wait()
                continue
            }
            leading = true
            let batch = Array(waiting.prefix(largestBatch))
            waiting.removeFirst(batch.count)
            turn.unlock()
            let failure = Self.failure { try run(batch) }
            turn.lock()
            leading = false
            for entry in batch {
                entry.failure = failure ?? entry.failure
                entry.isDone = true
            }
            turn.broadcast()
        }
        turn.unlock()
        if let failure = entry.failure { throw failure }
    }

    private static func failure(_ body: () throws -> Void) -> (any Error)? {
        do {
            try body()
            return nil
        } catch {
            return error
        }
    }
}
