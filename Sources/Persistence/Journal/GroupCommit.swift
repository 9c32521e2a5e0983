// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Lets threads share commits: one thread leads, the others follow.
///
/// The first thread that finds no leader takes every waiting submission and runs them as one batch. Submissions that
/// arrive meanwhile form the next batch. A thread never waits for others to arrive: alone, it leads at once.
// `@unchecked`: `waiting`, `leading` and the results of the submissions are used only under `turn`.
final class GroupCommit<Work>: @unchecked Sendable {
    /// One thread's part of a batch.
    final class Submission {
        let work: Work
        fileprivate(set) var failure: (any Error)?
        fileprivate var isDone = false

        init(_ work: Work) { self.work = work }

        /// Fails this submission alone; the rest of its batch is not affected.
        func fail(_ error: any Error) { failure = error }
    }

    private let turn = NSCondition()
    private var waiting: [Submission] = []
    private var leading = false
    private let largestBatch: Int
    private let run: ([Submission]) throws -> Void

    /// - Parameters:
    ///   - largestBatch: largest number of submissions in one batch.
    ///   - run: makes a batch durable; every submission of the batch gets the error that it throws.
    init(largestBatch: Int, run: @escaping ([Submission]) throws -> Void) {
        self.largestBatch = largestBatch
        self.run = run
    }

    /// Runs `work` in a batch and returns when the batch was run; blocks the calling thread.
    func submit(_ work: Work) throws {
        let submission = Submission(work)
        turn.lock()
        waiting.append(submission)
        while !submission.isDone {
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
            for submission in batch {
                submission.failure = failure ?? submission.failure
                submission.isDone = true
            }
            turn.broadcast()
        }
        turn.unlock()
        if let failure = submission.failure { throw failure }
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
