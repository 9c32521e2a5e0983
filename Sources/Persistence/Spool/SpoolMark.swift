// SPDX-License-Identifier: Apache-2.0
//
// Decides whether a folder may be used as a spool. A node empties `work/` and deletes expired files, so it must never
// take a folder that belongs to somebody else.

import Foundation
import Platform

/// The file `KONTUR-SPOOL`, which marks a folder as a spool of Kontur.
enum SpoolMark {
    /// Name of the file in the spool.
    static let name = "KONTUR-SPOOL"
    /// First line of the file; the number is the version of the folder's layout.
    static let firstLine = "KONTUR-SPOOL 1"

    /// What a folder is to a program that wants to use it as a spool.
    enum Claim: Equatable {
        /// The folder does not exist.
        case missing
        /// The folder is empty, apart from names that systems leave in every folder.
        case empty
        /// The folder carries the mark.
        case marked
        /// The folder holds a database of Kontur, and a version without marks made it.
        case unmarked
    }

    /// Names that do not make a folder somebody's: systems leave them in folders and on new file systems.
    private static func isHarmless(_ name: String) -> Bool {
        ["lost+found", ".DS_Store", "Thumbs.db", "desktop.ini", ".snapshot", ".snapshots"].contains(name)
            || name.hasPrefix(".Trash") || name.hasPrefix("._") || name.hasPrefix(SpoolMark.name + ".")
    }

    /// Examines a folder without changing it.
    ///
    /// - Throws: ``SpoolError/notASpool(path:cause:)`` if the folder belongs to somebody else, and the errors of the
    ///   disk.
    static func claim(_ path: String) throws(SpoolError) -> Claim {
        let names: [String]
        do throws(SystemCallError) {
            names = try FileSystem.names(in: FileSystem.resolved(path))
        } catch {
            if error.isMissing, (try? FileSystem.status(path)) == nil { return .missing }
            throw .notASpool(
                path: path,
                cause: error.isMissing ? "it is a symbolic link, and its target does not exist" : error.reason)
        }
        if names.contains(name) {
            try read(path)
            return .marked
        }
        if names.contains("kontur.sqlite"), JournalDatabase.isOurs(path + "/kontur.sqlite") { return .unmarked }
        let others = names.filter { !isHarmless($0) }
        if others.isEmpty || others == [Spool.Folder.models.rawValue] && holdsWeights(path) { return .empty }
        throw .notASpool(
            path: path,
            cause: "it holds \(others.count) files or folders, and lacks the file \(name) that marks a spool")
    }

    /// Whether the folder `models` holds weights alone, which may be installed before the first start.
    private static func holdsWeights(_ path: String) -> Bool {
        let names = try? FileSystem.names(in: path + "/" + Spool.Folder.models.rawValue)
        return names?.allSatisfy { name in
            name.hasSuffix(".safetensors") || name.hasSuffix(".json") || name == ".lock" || isHarmless(name)
        } ?? false
    }

    private static func read(_ path: String) throws(SpoolError) {
        let mark = path + "/" + name
        guard (try? FileSystem.status(mark))?.kind == .file, let data = FileManager.default.contents(atPath: mark),
            data.count <= 4096
        else { throw .notASpool(path: path, cause: "its file \(name) cannot be read") }
        let line = String(decoding: data.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        if line == firstLine { return }
        let isNewer = line.hasPrefix("KONTUR-SPOOL ")
        throw .notASpool(
            path: path,
            cause: isNewer ? "a newer version of kontur made it" : "its file \(name) is not one of Kontur")
    }

    /// Marks a folder, durably.
    static func write(_ path: String, calls: DurableCalls) throws(SpoolError) {
        let id = UUID().uuidString.lowercased()
        let text = """
            \(firstLine)
            id \(id)
            This folder is a spool of Kontur: it holds patients' images, and Kontur deletes files in it.

            """
        do throws(SystemCallError) {
            let file = try AtomicFile(temporaryPath: path + "/\(name).\(id)")
            try file.write(Array(text.utf8))
            try file.finish(as: path + "/" + name)
        } catch {
            throw SpoolError(error)
        }
    }

    /// The folder above `path` that is a spool, if there is one.
    ///
    /// - Parameter path: absolute, without symbolic links.
    /// - Returns: the path of the spool.
    static func spool(around path: String) -> String? {
        var folder = path
        while let slash = folder.lastIndex(of: "/"), slash > folder.startIndex {
            folder = String(folder[..<slash])
            if (try? FileSystem.status(folder + "/" + name))?.kind == .file { return folder }
        }
        return nil
    }
}

extension Spool {
    /// Examines whether the folder of a configuration may be used as a spool, without changing anything.
    ///
    /// - Throws: ``SpoolError/notASpool(path:cause:)`` for a folder or file of somebody else, and
    ///   ``SpoolError/link(path:)`` for a spool with a symbolic link in the place of a file or folder.
    public static func check(_ configuration: SpoolConfiguration) throws(SpoolError) {
        try refuseLinks(in: claim(configuration).path)
    }

    /// Refuses a spool in which a symbolic link stands in the place of a file or folder of Kontur's.
    ///
    /// The folder of models may be a link, because Kontur does not delete anything in it by itself.
    static func refuseLinks(in path: String) throws(SpoolError) {
        let names =
            Folder.allCases.filter { $0 != .models }.map(\.rawValue)
            + ["kontur.sqlite", "kontur.sqlite-wal", "kontur.sqlite-shm", "lock", "subject.key", JournalHead.name]
        for name in names where (try? FileSystem.status(path + "/" + name))?.kind == .symbolicLink {
            throw .link(path: path + "/" + name)
        }
    }

    /// The spool's folder without symbolic links, and what it is now.
    static func claim(_ configuration: SpoolConfiguration) throws(SpoolError) -> (path: String, SpoolMark.Claim) {
        let named = URL(fileURLWithPath: configuration.path).standardizedFileURL.path
        let claim = try SpoolMark.claim(named)
        // The part of the path that exists may lead through links; the part that does not exist cannot.
        var existing = named
        var rest = ""
        while !existing.isEmpty, (try? FileSystem.status(existing)) == nil, let slash = existing.lastIndex(of: "/") {
            rest = existing[slash...] + rest
            existing = String(existing[..<slash])
        }
        let path: String
        do throws(SystemCallError) { path = (existing.isEmpty ? "" : try FileSystem.resolved(existing)) + rest } catch {
            throw .notASpool(path: named, cause: error.reason)
        }
        if claim != .marked, claim != .unmarked, let outer = SpoolMark.spool(around: path) {
            throw .notASpool(path: named, cause: "it lies inside the spool \(outer)")
        }
        return (path, claim)
    }
}
