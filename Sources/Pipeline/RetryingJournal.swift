// SPDX-License-Identifier: Apache-2.0

import Logging
import Persistence
import Platform

/// The journal as a service uses it: calls wait until the disk works again.
///
/// A full or failing disk therefore delays work and does not lose it. Work goes on after an operator has freed space.
/// An error that can never pass is thrown at once, so that the service sets its item aside: a constraint, a row that
/// cannot be read, an arrow that cannot be taken.
struct RetryingJournal: Sendable {
    /// The wait between two attempts grows by a second per failure, up to this.
    private static let longestPause: Duration = .seconds(10)

    /// The journal itself.
    ///
    /// The caller handles its errors.
    let direct: Journal
    let logger: Logger
    /// Whether the service has to end.
    ///
    /// Calls then stop retrying.
    let isStopping: @Sendable () -> Bool

    /// Runs a read transaction on a dedicated thread.
    ///
    /// - Returns: `nil` if the service was stopped before the disk worked again.
    /// - Throws: errors of `body`, and those of the journal that do not pass.
    func read<Result: Sendable>(
        _ body: @escaping @Sendable (ReadTransaction) throws -> Result
    ) async throws -> Result? {
        let direct = direct
        return try await retry { try direct.read(body) }
    }

    /// Reads all rows, page by page.
    ///
    /// Each page is a read transaction of its own.
    ///
    /// - Parameter page: reads the page after a row, or the first page for `nil`. An empty page ends the list.
    /// - Returns: `nil` if the service was stopped before the disk worked again.
    /// - Throws: errors of `page`, and those of the journal that do not pass.
    func readAll<Row: Sendable>(
        _ page: @escaping @Sendable (ReadTransaction, Row?) throws -> [Row]
    ) async throws -> [Row]? {
        var rows: [Row] = []
        while true {
            let last = rows.last
            guard let next = try await read({ try page($0, last) }) else { return nil }
            if next.isEmpty { return rows }
            rows += next
        }
    }

    /// Runs a write transaction on a dedicated thread.
    ///
    /// - Returns: `nil` if the service was stopped before the disk worked again.
    /// - Throws: errors of `body`, such as a `StateError`, and those of the journal that do not pass.
    func write<Result: Sendable>(
        _ body: @escaping @Sendable (WriteTransaction) throws -> Result
    ) async throws -> Result? {
        let direct = direct
        return try await retry { try direct.write(body) }
    }

    /// Runs `body` on a dedicated thread until it does not fail because of the disk.
    ///
    /// - Returns: `nil` if the service was stopped, or the task cancelled, before the disk worked again.
    /// - Throws: the errors of `body` that another attempt would not mend.
    func retry<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result? {
        var failures = 0
        while true {
            do {
                let result = try await DedicatedThread.run(name: "kontur-journal", body)
                if failures > 0 { logger.info("the spool can be used again") }
                return result
            } catch let error where Self.isTemporary(error) {
                failures += 1
                if failures == 1 { logger.error("the spool cannot be used", metadata: ["error": "\(error)"]) }
                if isStopping() || Task.isCancelled { return nil }
                await Pause.wait(min(.seconds(failures), Self.longestPause))
                if isStopping() || Task.isCancelled { return nil }
            }
        }
    }

    /// Whether the disk is at fault, so that the same call may succeed later.
    static func isTemporary(_ error: any Error) -> Bool {
        switch error {
        case let error as JournalError: error.isTemporary
        case let error as SpoolError: error.isTemporary
        case let error as SystemCallError: error.isTemporary
        default: false
        }
    }
}
