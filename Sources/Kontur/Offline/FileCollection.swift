// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import Synchronization

/// The files that a command line names, and the files in its folders.
struct FileCollection {
    struct CollectedFile {
        /// The path as the command line names it, for people.
        var path: String
        /// An absolute path of ASCII characters that opens the file.
        var readable: String
        /// Whether the command line names the file itself, not a folder above it.
        var isNamed: Bool
    }

    /// The files, sorted within each folder.
    ///
    /// A file that the command line names twice is listed once.
    private(set) var files: [CollectedFile] = []
    /// Paths that are not files, or that could not be read.
    private(set) var others: [FileOutcome] = []

    /// - Parameter paths: files and folders. Names in folders are skipped if they begin with a dot.
    init(paths: [String]) {
        var walk = FolderWalk()
        var seen: Set<FilePath> = []
        for text in paths {
            let path = FilePath(argument: text)
            let found = walk.files(at: path)
            others += walk.takeOthers()
            for file in found {
                // A file that is gone by now keeps its own path, and its reader says so.
                let real = (try? FileSystem.resolved(file)) ?? file
                guard seen.insert(real).inserted else { continue }
                do {
                    let readable = try ReadableLinks.shared.readable(real)
                    files.append(CollectedFile(path: file.shown, readable: readable, isNamed: file == path))
                } catch {
                    let reason = "cannot be opened: \(error.reason)"
                    others.append(FileOutcome(path: file.shown, outcome: .quarantined, reason: reason))
                }
            }
        }
    }
}

/// Collects the files below folders.
///
/// The walk keeps lists instead of recursing, so deep folders do not exhaust the stack. It enters each folder once,
/// whatever links lead to it, so links cannot lead it in circles. Folders come before linked folders, so that a file has
/// the path without links if it has one.
private struct FolderWalk {
    private struct Waiting {
        let path: FilePath
        let identity: FileSystem.Identity
    }

    private var entered: Set<FileSystem.Identity> = []
    private var folders: [Waiting] = []
    private var linked: [Waiting] = []
    private var others: [FileOutcome] = []

    mutating func takeOthers() -> [FileOutcome] {
        defer { others = [] }
        return others
    }

    /// The file at a path, or all files below the folder at the path.
    mutating func files(at path: FilePath) -> [FilePath] {
        do {
            let (kind, identity) = try FileSystem.examine(path)
            switch kind {
            case .file: return [path]
            case .folder:
                // A folder that an earlier path has led to holds nothing new.
                if entered.contains(identity) { return [] }
                folders = [Waiting(path: path, identity: identity)]
                return content()
            case .symbolicLink, .other: refuse(path, "neither a file nor a folder")
            }
        } catch {
            refuse(path, "cannot be opened: \(error.reason)")
        }
        return []
    }

    private mutating func refuse(_ path: FilePath, _ reason: String, as outcome: FileOutcome.Kind = .quarantined) {
        others.append(FileOutcome(path: path.shown, outcome: outcome, reason: reason))
    }

    private mutating func content() -> [FilePath] {
        var found: [FilePath] = []
        while let next = folders.popLast() ?? (linked.isEmpty ? nil : linked.removeFirst()) {
            guard entered.insert(next.identity).inserted else {
                refuse(next.path, "a link to a folder that is read already", as: .passedOver)
                continue
            }
            let names: [FilePath]
            do {
                names = try FileSystem.names(in: next.path)
            } catch {
                refuse(next.path, "this folder cannot be listed: \(error.reason)")
                continue
            }
            var below: [Waiting] = []
            for name in names where !name.isHidden { visit(next.path.appending(name), &below, &found) }
            folders += below.reversed()
        }
        return found
    }

    private mutating func visit(_ path: FilePath, _ below: inout [Waiting], _ found: inout [FilePath]) {
        do {
            let (kind, identity) = try FileSystem.examine(path)
            switch kind {
            case .file: found.append(path)
            case .folder:
                let next = Waiting(path: path, identity: identity)
                let isLink = try FileSystem.examine(path, followingLinks: false).kind != .folder
                if isLink { linked.append(next) } else { below.append(next) }
            case .symbolicLink, .other: refuse(path, "neither a file nor a folder", as: .passedOver)
            }
        } catch {
            if (try? FileSystem.examine(path, followingLinks: false).kind) == .symbolicLink {
                refuse(path, "a link that leads to no file: \(error.reason)", as: .passedOver)
            } else {
                refuse(path, "cannot be opened: \(error.reason)")
            }
        }
    }
}

/// Links with plain names to files whose paths are not plain.
///
/// A path goes to a worker as text in JSON, and text is compared and cut by characters. A name in another encoding is no
/// text at all. A worker therefore gets a link of ASCII characters instead of such a path.
final class ReadableLinks: Sendable {
    /// The links of this process, which are removed when the process exits.
    static let shared: ReadableLinks = {
        atexit { ReadableLinks.shared.remove() }
        return ReadableLinks()
    }()

    /// The folder of the links, absent until the first one, and their number.
    private let made = Mutex<(folder: URL?, count: Int)>((nil, 0))

    /// A path of ASCII characters that opens the file at the absolute path `path`.
    ///
    /// The path is valid until the process exits.
    ///
    /// - Throws: the error of mkdir(2) or symlink(2).
    func readable(_ path: FilePath) throws(SystemCallError) -> String {
        if path.isASCII { return String(decoding: path.bytes, as: UTF8.self) }
        return try made.withLock { made throws(SystemCallError) in
            let folder =
                made.folder
                ?? FileManager.default.temporaryDirectory.appendingPathComponent("kontur-\(UUID().uuidString)")
            if made.folder == nil { try FileSystem.makeFolder(folder.path) }
            made = (folder, made.count + 1)
            let link = folder.appendingPathComponent("\(made.count)").path
            try FileSystem.makeLink(link, to: path)
            return link
        }
    }

    private func remove() {
        made.withLock { made in
            if let folder = made.folder { try? FileManager.default.removeItem(at: folder) }
            made.folder = nil
        }
    }
}
