// SPDX-License-Identifier: Apache-2.0

public import Foundation
public import Platform
import Synchronization

/// The node's folder on disk: received instances, derived objects, and the database beside them.
///
/// Folders are 0700 and files 0600. A UUID names each file. A name does not contain text that a peer sent. Stored paths
/// are relative to the spool, so that an operator can move the whole folder.
public final class Spool: Sendable {
    /// The user of the spool.
    public enum Access: Sendable, Equatable {
        /// The node, which holds the lock and receives; `name` is shown to a second node that is refused.
        case node(name: String)
        /// The command line, which reads, and writes single rows beside a running node.
        case commandLine
        /// The command line, which only reads: it does not make a folder or a file, so that a full disk does not matter.
        case reader
    }

    /// The place and the limits of this spool.
    public let configuration: SpoolConfiguration
    /// Absolute path of the spool's folder.
    public let path: String
    let calls: DurableCalls
    /// Folders with names that this process has synced.
    private let durableFolders = Mutex(Set<String>())
    private let lock: FileLock?
    /// Whether this process may only read.
    let isReadOnly: Bool

    /// Whether this process holds the spool as its node.
    var isNode: Bool { lock != nil }

    /// Whether a node holds the spool.
    var isHeld: Bool { isNode || Self.holder(path: path) != nil }

    /// Opens the spool and makes its missing folders, unless it is only read.
    ///
    /// The path itself may lead through symbolic links. Nothing inside the spool is read, written or deleted through
    /// one.
    ///
    /// - Throws: ``SpoolError/notASpool(path:cause:)`` if the folder belongs to somebody else; it stays as it is then.
    ///   ``SpoolError/held(path:holder:)`` if `user` is a node and another node holds the spool.
    public init(
        _ configuration: SpoolConfiguration, access user: Access, calls: DurableCalls = .real
    ) throws(SpoolError) {
        self.configuration = configuration
        self.calls = calls
        isReadOnly = user == .reader
        let (path, claim) = try Self.claim(configuration)
        self.path = path
        if isReadOnly {
            lock = nil
            return
        }
        try Self.refuseLinks(in: path)
        if claim == .missing {
            do {
                try FileManager.default.createDirectory(
                    atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            } catch {
                throw .damaged(path: path, cause: "the folder cannot be made; choose another spool.path")
            }
        }
        FileSystem.setMode(0o700, of: path)
        // The mark comes before everything else, so that a start that is cut off leaves a folder that is known again.
        switch claim {
        case .missing, .empty: try SpoolMark.write(path, calls: calls)
        // On a full disk, the next start marks the folder.
        case .unmarked: try? SpoolMark.write(path, calls: calls)
        case .marked: break
        }
        switch user {
        case .node(let name): lock = try Self.lock(path, name: name)
        case .commandLine, .reader: lock = nil
        }
        do throws(SystemCallError) {
            for folder in Folder.allCases { try calls.makeFolder(path + "/" + folder.rawValue) }
            try calls.syncFolder(path)
        } catch {
            throw SpoolError(error)
        }
    }

    private static func lock(_ path: String, name: String) throws(SpoolError) -> FileLock {
        let process = ProcessInfo.processInfo.processIdentifier
        let holder = "\(name), process \(process), since \(Date().formatted(.iso8601))"
        do throws(FileLock.Failure) {
            return try FileLock(path: path + "/lock", holder: holder)
        } catch {
            switch error {
            case .held(let other): throw .held(path: path, holder: other ?? "another process")
            case .failing(let cause): throw SpoolError(cause)
            }
        }
    }

    /// The folders in the spool.
    enum Folder: String, CaseIterable {
        case instances, derived, quarantine, work, models
    }

    /// Absolute path of the database file.
    public var databasePath: String { path + "/kontur.sqlite" }

    /// Absolute path of the folder that workers write into; the next start of the node empties it.
    public var workPath: String { path + "/work" }

    /// The absolute path of a stored path, which is relative to the spool.
    public func absolute(_ stored: String) -> String { path + "/" + stored }

    /// The text of the node that holds the spool at `path`; `nil` if a node is not running.
    package static func holder(path: String) -> String? { FileLock.holder(path: path + "/lock") }

    // MARK: - Room

    /// Bytes that are free on the spool's file system.
    public func freeSpace() throws(SpoolError) -> Int64 {
        do { return try calls.freeSpace(path) } catch { throw SpoolError(error) }
    }

    // MARK: - Files

    /// Creates the file of an instance, under the name that it keeps, in the folder of the hour `now`.
    ///
    /// - Throws: ``SpoolError/full(cause:)`` if less than `minimumFree` is free.
    public func incomingFile(now: Date) throws(SpoolError) -> IncomingFile {
        let name = UUID().uuidString.lowercased() + ".dcm"
        do {
            return try IncomingFile(spool: self, folder: folder(.instances, now: now, hours: true), name: name)
        } catch .failing(let cause) where cause.isMissing {
            // Retention removed the empty folder after it was found here.
            return try IncomingFile(spool: self, folder: folder(.instances, now: now, hours: true), name: name)
        }
    }

    /// Makes `<kind>/<yyyy-mm-dd>[/<hh>]` durably if it does not exist, and returns its relative path.
    func folder(_ kind: Folder, now: Date, hours: Bool) throws(SpoolError) -> String {
        let hour = CalendarHour(now)
        var path = kind.rawValue
        if (try? isFolder(path)) != true { throw .link(path: absolute(path)) }
        for part in hours ? [hour.day, hour.hour] : [hour.day] {
            let parent = path
            path += "/" + part
            // Under the lock, because a thread that finds the folder relies on its name being durable.
            try durableFolders.withLock { [path] known throws(SpoolError) in
                do throws(SystemCallError) {
                    let isThere = try isFolder(path)
                    if isThere && known.contains(path) { return }
                    if !isThere { try calls.makeFolder(absolute(path)) }
                    try calls.syncFolder(absolute(parent))
                    known.insert(path)
                } catch {
                    if error == Self.link { throw SpoolError.link(path: absolute(path)) }
                    throw SpoolError(error)
                }
            }
        }
        return path
    }

    /// Moves a worker's result into `derived/`, durably, under a new name.
    ///
    /// The file belongs to a row as soon as a job is ``WriteTransaction/done(_:_:_:)`` with it. The next start of the
    /// node gives a file without a row a row again.
    ///
    /// - Parameters:
    ///   - written: an absolute path in ``workPath``.
    ///   - now: decides the folder.
    /// - Returns: the stored path.
    /// - Throws: ``SpoolError``.
    public func acceptDerived(_ written: String, now: Date) throws(SpoolError) -> String {
        let folder = try folder(.derived, now: now, hours: false)
        let stored = folder + "/" + UUID().uuidString.lowercased() + ".dcm"
        do throws(SystemCallError) {
            let file = try FileDescriptor(path: written, for: .readingWithoutLinks)
            file.setMode(0o600)
            try calls.syncFile(file, written)
            try calls.rename(written, absolute(stored))
            try calls.syncFolder(absolute(folder))
        } catch {
            throw SpoolError(error)
        }
        return stored
    }
}

/// The reason why the spool cannot be used; the cases do not hold text that a peer sent.
public enum SpoolError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Another process holds the spool; `holder` is its text in the lock file.
    case held(path: String, holder: String)
    /// The disk or its quota is full, or only the configured minimum is free.
    case full(cause: String)
    /// The disk fails.
    case failing(cause: SystemCallError)
    /// The instance is larger than `spool.maxInstance`, in bytes.
    case tooLarge(limit: Int64)
    /// The folder belongs to somebody else, or it is not a folder.
    case notASpool(path: String, cause: String)
    /// A file or folder of the spool was replaced by a symbolic link, or by something else.
    case link(path: String)
    /// A file or folder of the spool is not as Kontur left it.
    case damaged(path: String, cause: String)

    init(_ error: SystemCallError) {
        self = error.isFull ? .full(cause: error.description) : .failing(cause: error)
    }

    /// Whether the same call may succeed later, because the disk is at fault.
    public var isTemporary: Bool {
        switch self {
        case .full: true
        case .failing(let cause): cause.isTemporary
        case .held, .tooLarge, .notASpool, .link, .damaged: false
        }
    }

    public var description: String {
        switch self {
        case .held(let path, let holder):
            "the spool \(path) is in use by \(holder); stop that node, or give this one a spool of its own"
        case .full(let cause): "the spool is full: \(cause); free disk space, or lower spool.minimumFree"
        case .failing(let cause): "the spool's disk fails: \(cause)"
        case .tooLarge(let limit): "the instance is larger than spool.maxInstance (\(limit) bytes)"
        case .notASpool(let path, let cause):
            "\(path) is not a spool of Kontur: \(cause); give spool.path a new or empty folder, or, if this is a spool "
                + "that lost its mark, write the line '\(SpoolMark.firstLine)' into the file \(SpoolMark.name) there"
        case .link(let path):
            "\(path) was replaced by a symbolic link or by something else, and Kontur does not work through links inside "
                + "its spool; put the real file or folder back, or move the whole spool"
        case .damaged(let path, let cause): "the spool file \(path) is damaged: \(cause)"
        }
    }
}
