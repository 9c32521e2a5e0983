// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation

/// A few threads that wait for disks, so that a file, its folder and the journal are synced at the same time.
// Sendable: everything mutable is touched under `turn` alone.
final class SyncThreads: @unchecked Sendable {
    /// The outcome of one sync, for the thread that asked.
    // Sendable: `result` is touched under `turn` alone.
    final class Ticket: @unchecked Sendable {
        private let turn = NSCondition()
        private var result: Result<Void, SystemCallError>?

        fileprivate func finish(_ result: Result<Void, SystemCallError>) {
            turn.lock()
            self.result = result
            turn.signal()
            turn.unlock()
        }

        /// Blocks until the sync has ended.
        func wait() -> Result<Void, SystemCallError> {
            turn.lock()
            defer { turn.unlock() }
            while true {
                if let result { return result }
                turn.wait()
            }
        }
    }

    private let turn = NSCondition()
    private var work: [(ticket: Ticket, body: @Sendable () throws(SystemCallError) -> Void)] = []
    private var idle = 0
    private var threads = 0
    private var closed = false
    private let most: Int

    init(most: Int) { self.most = most }

    /// Runs `body` on one of the threads.
    func start(_ body: @escaping @Sendable () throws(SystemCallError) -> Void) -> Ticket {
        let ticket = Ticket()
        turn.lock()
        work.append((ticket, body))
        if idle < work.count, threads < most {
            threads += 1
            let thread = Thread { [self] in serve() }
            thread.name = "kontur-sync"
            thread.stackSize = 256 << 10
            thread.start()
        }
        turn.signal()
        turn.unlock()
        return ticket
    }

    /// Lets the threads end when they have nothing more to do.
    func close() {
        turn.lock()
        closed = true
        turn.broadcast()
        turn.unlock()
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
