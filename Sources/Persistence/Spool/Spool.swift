// SPDX-License-Identifier: Apache-2.0

import Platform
public import Foundation
import Synchronization

/// The node's folder on disk: received instances, derived objects, and the database beside them.
///
/// Folders are 0700 and files 0600. A file is named by a UUID, never by anything that a peer sent. Stored paths are
/// relative to the spool, so that it can be moved as a whole.
public final class Spool: Sendable {
    /// Who opens the spool.
    public enum Access: Sendable, Equatable {
        /// The node: holds the lock, receives. `name` is shown to whoever is refused.
        case node(name: String)
        /// The command line: reads, and writes single rows beside a running node.
        case commandLine
    }

    public let configuration: SpoolConfiguration
    /// The absolute path of the spool's folder.
    public let path: String
    let calls: DurableCalls
    /// Folders whose names this process has synced.
    private let durableFolders = Mutex(Set<String>())
    private let lock: SpoolLock?

    /// Whether this process holds the spool as its node.
    var isNode: Bool { lock != nil }

    /// Opens the spool and makes what is missing of it.
    ///
    /// - Throws: ``SpoolError/held(path:holder:)`` when `access` is `node` and another node holds it.
    public init(
        _ configuration: SpoolConfiguration, access: Access, calls: DurableCalls = .real
    ) throws(SpoolError) {
        self.configuration = configuration
        self.calls = calls
        path = URL(fileURLWithPath: configuration.path).standardizedFileURL.path
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw .damaged(path: path, cause: "the folder cannot be made: choose another spool.path")
        }
        chmod(path, 0o700)
        switch access {
        case .node(let name):
            let now = Date().formatted(.iso8601)
            lock = try SpoolLock(
                path: path + "/lock",
                holder: "\(name), process \(ProcessInfo.processInfo.processIdentifier), since \(now)")
        case .commandLine: lock = nil
        }
        do {
            for folder in Folder.allCases { try calls.makeFolder(path + "/" + folder.rawValue) }
            try calls.syncFolder(path)
        } catch {
            throw SpoolError(error)
        }
    }

    /// The folders in the spool.
    enum Folder: String, CaseIterable {
        case instances, derived, quarantine, work, models
    }

    /// The database file.
    public var databasePath: String { path + "/kontur.sqlite" }

    /// Where workers write: files here belong to no row, and are removed at the next start.
    public var workPath: String { path + "/work" }

    /// Where installed weights are kept.
    public var modelsPath: String { path + "/models" }

    /// The absolute path of a stored, relative one.
    public func absolute(_ stored: String) -> String { path + "/" + stored }

    /// Who holds the spool's lock: `nil` when no node runs.
    public static func holder(path: String) -> String? {
        SpoolLock.holder(path: URL(fileURLWithPath: path).standardizedFileURL.path + "/lock")
    }

    // MARK: - Room

    /// Bytes free on the spool's file system.
    public func freeSpace() throws(SpoolError) -> Int64 {
        do { return try calls.freeSpace(path) } catch { throw SpoolError(error) }
    }

    /// Whether one more association may be accepted: the largest instance fits above the minimum for each open one
    /// and for the new one.
    public func hasRoom(openAssociations: Int) -> Bool {
        guard let free = try? freeSpace() else { return false }
        let (needed, overflow) = configuration.maxInstance.multipliedReportingOverflow(by: Int64(openAssociations) + 1)
        return !overflow && free - configuration.minimumFree >= needed
    }

    // MARK: - Files

    /// Starts the file of an instance, under the name that it keeps.
    ///
    /// - Parameter now: decides the folder, which retention deletes as a whole.
    /// - Throws: ``SpoolError/full(cause:)`` already when less than `minimumFree` is left.
    public func incomingFile(now: Date) throws(SpoolError) -> IncomingFile {
        let name = UUID().uuidString.lowercased() + ".dcm"
        do {
            return try IncomingFile(spool: self, folder: folder(.instances, now: now, hours: true), name: name)
        } catch .failing(let cause) where cause.code == ENOENT {
            // Retention removed the empty folder at this very moment.
            return try IncomingFile(spool: self, folder: folder(.instances, now: now, hours: true), name: name)
        }
    }

    /// Makes `<kind>/<yyyy-mm-dd>[/<hh>]` durably, unless it is there; returns the relative path.
    func folder(_ kind: Folder, now: Date, hours: Bool) throws(SpoolError) -> String {
        let hour = CalendarHour(now)
        var path = kind.rawValue
        for part in hours ? [hour.day, hour.hour] : [hour.day] {
            let parent = path
            path += "/" + part
            do throws(SystemCallError) {
                // Under the lock: who finds the folder there may rely on its name being durable.
                try durableFolders.withLock { [path, calls] known throws(SystemCallError) in
                    let isThere = access(absolute(path), F_OK) == 0
                    if isThere && known.contains(path) { return }
                    if !isThere { try calls.makeFolder(absolute(path)) }
                    try calls.syncFolder(absolute(parent))
                    known.insert(path)
                }
            } catch {
                throw SpoolError(error)
            }
        }
        return path
    }

    /// Moves what a worker wrote into `derived/`, durably, under a new name.
    ///
    /// The file belongs to no row until a job is ``WriteTransaction/done(_:_:_:)`` with it; one that never gets a row
    /// is removed at the next start.
    ///
    /// - Parameter written: an absolute path in ``workPath``.
    /// - Returns: the stored path.
    public func acceptDerived(_ written: String, now: Date) throws(SpoolError) -> String {
        let folder = try folder(.derived, now: now, hours: false)
        let stored = folder + "/" + UUID().uuidString.lowercased() + ".dcm"
        do throws(SystemCallError) {
            let descriptor = open(written, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw SystemCallError(call: "open", code: errno) }
            defer { close(descriptor) }
            fchmod(descriptor, 0o600)
            try calls.syncFile(descriptor, written)
            try calls.rename(written, absolute(stored))
            try calls.syncFolder(absolute(folder))
        } catch {
            throw SpoolError(error)
        }
        return stored
    }

    /// Removes a file that no row names. A file that is not there is fine.
    public func discard(_ stored: String) {
        try? calls.remove(absolute(stored))
    }
}
