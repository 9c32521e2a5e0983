// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Commits by leader and followers.
///
/// The first thread that finds nobody leading takes every entry that waits and runs them as one batch; whoever comes
/// meanwhile waits for it and is in the next. Nobody ever waits for company: alone, a thread leads at once.
// Sendable: `waiting`, `leading` and the entries' results are touched under `turn` alone.
final class GroupCommit<Work>: @unchecked Sendable {
    /// One thread's part of a batch.
    final class Entry {
        let work: Work
        fileprivate(set) var failure: (any Error)?
        fileprivate var isDone = false

        init(_ work: Work) { self.work = work }

        /// Tells this entry apart from the rest of its batch: it alone failed.
        func fail(_ error: any Error) { failure = error }
    }

    private let turn = NSCondition()
    private var waiting: [Entry] = []
    private var leading = false
    private let largestBatch: Int
    private let run: ([Entry]) throws -> Void

    /// - Parameter run: makes a batch durable; what it throws, every entry of the batch gets.
    init(largestBatch: Int, run: @escaping ([Entry]) throws -> Void) {
        self.largestBatch = largestBatch
        self.run = run
    }

    /// Returns when the entry's batch has been run. Blocks the calling thread.
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
