// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation
import Persistence

/// Watches every durable call between the room and the disk, and can delay, fail or stop it.
// `@unchecked`: everything mutable is used only under `lock`.
final class WatchedCalls: @unchecked Sendable {
    enum Kind: String, CaseIterable, Sendable {
        case create, write, overwrite, syncFile, syncFolder, makeFolder, rename, link, remove, commit
        case open, read, status, names
    }

    private let lock = NSLock()
    private var entered: [Kind] = []
    private var left: [Kind] = []
    private var before: (@Sendable (Kind, Int) throws -> Void)?
    private var after: (@Sendable (Kind, Int) -> Void)?

    /// The calls that have begun, in order.
    var begun: [Kind] { lock.withLock { entered } }
    /// The calls that have succeeded, in order.
    var ended: [Kind] { lock.withLock { left } }

    func forget() {
        lock.withLock {
            entered = []
            left = []
        }
    }

    /// - Parameters:
    ///   - before: gets the kind and the number of calls that began before this one. If it throws, the call throws.
    ///   - after: runs after a call that succeeded, and gets the number of calls that succeeded before.
    func watch(
        before: (@Sendable (Kind, Int) throws -> Void)? = nil, after: (@Sendable (Kind, Int) -> Void)? = nil
    ) {
        lock.withLock {
            self.before = before
            self.after = after
        }
    }

    private func call<Result>(_ kind: Kind, _ body: () throws -> Result) throws -> Result {
        let (hook, number) = lock.withLock {
            entered.append(kind)
            return (before, entered.count - 1)
        }
        try hook?(kind, number)
        let result = try body()
        let (then, ends) = lock.withLock {
            left.append(kind)
            return (after, left.count - 1)
        }
        then?(kind, ends)
        return result
    }

    private func system<Result>(_ kind: Kind, _ body: () throws -> Result) throws(SystemCallError) -> Result {
        do {
            return try call(kind, body)
        } catch let error as SystemCallError {
            throw error
        } catch {
            preconditionFailure("a system call fails with an errno")
        }
    }

    var calls: DurableCalls {
        let real = DurableCalls.real
        var calls = real
        calls.create = { path throws(SystemCallError) in try self.system(.create) { try real.create(path) } }
        calls.write = { file, bytes throws(SystemCallError) in
            try self.system(.write) { try real.write(file, bytes) }
        }
        calls.overwrite = { file, bytes, offset throws(SystemCallError) in
            try self.system(.overwrite) { try real.overwrite(file, bytes, offset) }
        }
        calls.open = { path throws(SystemCallError) in try self.system(.open) { try real.open(path) } }
        calls.read = { file, buffer throws(SystemCallError) in
            try self.system(.read) { try real.read(file, buffer) }
        }
        calls.status = { path throws(SystemCallError) in try self.system(.status) { try real.status(path) } }
        calls.names = { path throws(SystemCallError) in try self.system(.names) { try real.names(path) } }
        calls.syncFile = { file, path throws(SystemCallError) in
            try self.system(.syncFile) { try real.syncFile(file, path) }
        }
        calls.syncFolder = { path throws(SystemCallError) in
            try self.system(.syncFolder) { try real.syncFolder(path) }
        }
        calls.makeFolder = { path throws(SystemCallError) in
            try self.system(.makeFolder) { try real.makeFolder(path) }
        }
        calls.rename = { from, to throws(SystemCallError) in
            try self.system(.rename) { try real.rename(from, to) }
        }
        calls.link = { from, to throws(SystemCallError) in try self.system(.link) { try real.link(from, to) } }
        calls.remove = { path throws(SystemCallError) in try self.system(.remove) { try real.remove(path) } }
        calls.commit = { body in try self.call(.commit) { try real.commit(body) } }
        return calls
    }
}
