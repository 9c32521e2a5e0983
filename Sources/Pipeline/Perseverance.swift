// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Logging
import Persistence
import Platform
import Synchronization

/// Keeps at the journal until it answers: a full or failing disk stops work, it does not lose it, and work goes on when
/// somebody has made room.
struct Perseverance: Sendable {
    let journal: Journal
    let logger: Logger
    /// Raised when the service shall end: waiting is over then.
    let isStopping: @Sendable () -> Bool

    func read<Result: Sendable>(_ body: @escaping @Sendable (ReadTransaction) throws -> Result) async throws -> Result?
    {
        let journal = journal
        return try await insist { try journal.read(body) }
    }

    func write<Result: Sendable>(
        _ body: @escaping @Sendable (WriteTransaction) throws -> Result
    ) async throws -> Result? {
        let journal = journal
        return try await insist { try journal.write(body) }
    }

    /// Runs `body` on a thread of its own until it is not the disk that hinders it.
    ///
    /// - Returns: `nil` when the service was stopped, or the task cancelled, before that.
    /// - Throws: what is not the disk's fault: a `StateError`.
    func insist<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result? {
        var failures = 0
        while true {
            do {
                let result = try await DedicatedThread.run(name: "kontur-journal", body)
                if failures > 0 { logger.info("the spool can be used again") }
                return result
            } catch let error where error is JournalError || error is SpoolError {
                failures += 1
                if failures == 1 { logger.error("the spool cannot be used", metadata: ["error": "\(error)"]) }
                if isStopping() || Task.isCancelled { return nil }
                await Pause.wait(.seconds(min(failures, 10)))
                if isStopping() || Task.isCancelled { return nil }
            }
        }
    }
}

/// Whether a service shall end, for everything that it runs.
final class StopFlag: Sendable {
    private let flag = Mutex(false)

    var isSet: Bool { flag.withLock { $0 } }
    func set() { flag.withLock { $0 = true } }
}
