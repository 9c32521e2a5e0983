// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence

/// A flag that is up until it is lowered once.
// `@unchecked`: `up` is used only under `lock`.
final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var up = true

    /// Lowers the flag; returns whether it was up.
    func lower() -> Bool {
        lock.withLock {
            defer { up = false }
            return up
        }
    }
}

/// The results of several threads.
// `@unchecked`: `results` is used only under `lock`.
final class Answers: @unchecked Sendable {
    private let lock = NSLock()
    private var results: [Int: Result<Reception, any Error>] = [:]

    func add(_ index: Int, _ result: Result<Reception, any Error>) { lock.withLock { results[index] = result } }

    subscript(index: Int) -> Result<Reception, any Error> {
        lock.withLock { results[index] ?? .failure(CancellationError()) }
    }

    var all: [Result<Reception, any Error>] { lock.withLock { Array(results.values) } }
}

/// Makes the syncs of one commit end in a given order.
// `@unchecked`: everything mutable is used only under `turn`.
final class Turns: @unchecked Sendable {
    private let turn = NSCondition()
    private let order: [WatchedCalls.Kind]
    private var done = 0
    private var first: (() -> Void)?

    init(_ order: [WatchedCalls.Kind]) { self.order = order }

    /// Runs `body` before the first step.
    func beforeFirst(_ body: @escaping () -> Void) { turn.withLock { first = body } }

    func enter(_ kind: WatchedCalls.Kind) {
        turn.withLock {
            guard order.contains(kind) else { return }
            while done < order.count && order[done] != kind { turn.wait() }
            if done == 0, let body = first {
                first = nil
                body()
            }
        }
    }

    /// Calls `body` with the number of ended steps, before the next step may begin.
    func leave(_ kind: WatchedCalls.Kind, _ body: (Int) -> Void) {
        turn.withLock {
            guard done < order.count, order[done] == kind else { return }
            body(done + 1)
            done += 1
            turn.broadcast()
        }
    }
}

/// A wall clock that a test moves.
// `@unchecked`: `date` is used only under `lock`.
final class WallClock: @unchecked Sendable {
    private let lock = NSLock()
    private var date = Date(timeIntervalSince1970: 1_769_000_000)
    var now: Date { lock.withLock { date } }
    func jump(days: Double) { lock.withLock { date.addTimeInterval(days * 86_400) } }
}

/// Copies a spool as it is at this moment, which is what a kill of its process would leave.
func snapshot(_ path: String, _ copy: String) {
    let manager = FileManager.default
    do {
        try? manager.removeItem(atPath: copy)
        try manager.copyItem(atPath: path, toPath: copy)
        // SQLite makes the index of the write-ahead log again.
        try? manager.removeItem(atPath: copy + "/kontur.sqlite-shm")
    } catch {
        preconditionFailure("a spool could not be copied: \(error)")
    }
}
