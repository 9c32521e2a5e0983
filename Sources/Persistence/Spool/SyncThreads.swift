// SPDX-License-Identifier: Apache-2.0
//
// Syncs a file, its folder and the journal at the same time, and a folder once for all threads that need it.

import Foundation
import Platform

/// A few threads that wait for disks.
// `@unchecked`: everything mutable is used only under `turn`.
final class SyncThreads: @unchecked Sendable {
    /// The outcome of one sync, for the thread that requested it.
    // `@unchecked`: `result` is used only under `turn`.
    final class Ticket: @unchecked Sendable {
        private let turn = NSCondition()
        private var result: Result<Void, SystemCallError>?

        fileprivate func finish(_ result: Result<Void, SystemCallError>) {
            turn.withLock {
                self.result = result
                turn.signal()
            }
        }

        /// Blocks until the sync has ended.
        func wait() -> Result<Void, SystemCallError> {
            turn.withLock {
                while true {
                    if let result { return result }
                    turn.wait()
                }
            }
        }
    }

    private let turn = NSCondition()
    private var work: [(ticket: Ticket, body: @Sendable () throws(SystemCallError) -> Void)] = []
    private var idle = 0
    private var threads = 0
    private var closed = false
    private let most: Int

    /// - Parameter most: largest number of threads; a thread starts when all others are busy.
    init(most: Int) { self.most = most }

    /// Runs `body` on one of the threads.
    func start(_ body: @escaping @Sendable () throws(SystemCallError) -> Void) -> Ticket {
        let ticket = Ticket()
        turn.withLock {
            work.append((ticket, body))
            if idle < work.count, threads < most {
                threads += 1
                DedicatedThread.start(name: "kontur-sync", stackSize: 256 << 10) { [self] in serve() }
            }
            turn.signal()
        }
        return ticket
    }

    /// Lets the threads end after the work that was started.
    func close() {
        turn.withLock {
            closed = true
            turn.broadcast()
        }
    }

    private func serve() {
        turn.lock()
        while true {
            if work.isEmpty {
                if closed { break }
                idle += 1
                turn.wait()
                idle -= 1
                continue
            }
            let (ticket, body) = work.removeFirst()
            turn.unlock()
            do throws(SystemCallError) {
                try body()
                ticket.finish(.success(()))
            } catch {
                ticket.finish(.failure(error))
            }
            turn.lock()
        }
        threads -= 1
        turn.unlock()
    }
}

/// Shares the sync of a folder between the threads that made names in it at the same time.
///
/// A sync covers every name that was made before the sync began. So at most one sync runs and at most one more waits.
// `@unchecked`: everything mutable is used only under `turn`.
final class FolderSync: @unchecked Sendable {
    private struct Rounds {
        var begun = 0
        var ended = 0
        var running = false
        var failures: [Int: SystemCallError] = [:]
    }

    private let turn = NSCondition()
    private var folders: [String: Rounds] = [:]
    private let sync: @Sendable (String) throws(SystemCallError) -> Void

    /// - Parameter sync: waits until the names in a folder are on disk.
    init(sync: @escaping @Sendable (String) throws(SystemCallError) -> Void) { self.sync = sync }

    /// Blocks until every name that is in the folder now is on disk.
    func wait(_ folder: String) throws(SystemCallError) {
        turn.lock()
        defer { turn.unlock() }
        // A sync that runs already may have begun before the caller's name was made.
        let needed = folders[folder, default: Rounds()].begun + 1
        while folders[folder, default: Rounds()].ended < needed {
            if folders[folder, default: Rounds()].running {
                turn.wait()
                continue
            }
            folders[folder, default: Rounds()].running = true
            folders[folder, default: Rounds()].begun += 1
            turn.unlock()
            var failure: SystemCallError?
            do throws(SystemCallError) { try sync(folder) } catch { failure = error }
            turn.lock()
            folders[folder]?.running = false
            folders[folder]?.ended += 1
            if let failure, let number = folders[folder]?.ended { folders[folder]?.failures[number] = failure }
            turn.broadcast()
        }
        if let failure = folders[folder]?.failures[needed] { throw failure }
    }
}
