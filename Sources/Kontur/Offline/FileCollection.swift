// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform

/// The files that a command line names, and the files in its folders.
struct FileCollection {
    struct Refused: Error {
        var path: String
        var reason: String
    }

    struct CollectedFile {
        var path: String
        /// Whether the command line names the file itself, not a folder above it.
        var isNamed: Bool
    }

    /// The files, sorted within each folder.
    ///
    /// A file that the command line names twice is listed once.
    private(set) var files: [CollectedFile] = []
    /// Paths that could not be read.
    private(set) var refused: [Refused] = []

    /// - Parameter paths: files and folders. Names in folders are skipped if they begin with a dot.
    init(paths: [String]) {
        var seen: Set<String> = []
        for path in paths {
            for file in Self.files(at: path, refused: &refused) {
                let real = URL(fileURLWithPath: file).resolvingSymlinksInPath().path
                if seen.insert(real).inserted { files.append(CollectedFile(path: file, isNamed: file == path)) }
            }
        }
    }

    private static func files(at path: String, refused: inout [Refused]) -> [String] {
        switch kind(of: path, refused: &refused) {
        case .file: return [path]
        case .folder: return content(of: path, refused: &refused)
        case .symbolicLink, .other:
            refused.append(Refused(path: path, reason: "neither a file nor a folder"))
            return []
        case nil: return []
        }
    }

    /// The kind of the file or folder.
    ///
    /// If the path cannot be opened, the function adds it to `refused` and returns `nil`.
    private static func kind(of path: String, refused: inout [Refused]) -> FileSystem.Kind? {
        do {
            return try FileSystem.kind(of: path)
        } catch {
            refused.append(Refused(path: path, reason: "cannot be opened: \(error.reason)"))
            return nil
        }
    }

    /// All files below a folder.
    ///
    /// The walk keeps a list instead of recursing, so deep folders do not exhaust the stack. It does not follow links
    /// to folders, so it cannot run in circles.
    private static func content(of folder: String, refused: inout [Refused]) -> [String] {
        var waiting = [folder]
        var found: [String] = []
        while let next = waiting.popLast() {
            guard let names = try? FileManager.default.contentsOfDirectory(atPath: next) else {
                refused.append(Refused(path: next, reason: "this folder cannot be listed"))
                continue
            }
            var folders: [String] = []
            for name in names.sorted() where !name.hasPrefix(".") {
                let path = next.hasSuffix("/") ? next + name : "\(next)/\(name)"
                switch kind(of: path, refused: &refused) {
                case .file: found.append(path)
                case .folder:
                    let isLink = (try? FileSystem.kind(of: path, followingLinks: false)) != .folder
                    if !isLink { folders.append(path) }
                case .symbolicLink, .other:
                    refused.append(Refused(path: path, reason: "neither a file nor a folder"))
                case nil: break
                }
            }
            waiting += folders.reversed()
        }
        return found
    }
}

/// Why a file does not belong to a stack.
struct FileOutcome: Encodable, Sendable {
    enum Kind: String, Encodable {
        /// The file cannot be read.
        case quarantined
        /// The object does not contain an image that can be segmented.
        case notAnImage
        /// Kontur made the object.
        case own
        /// An earlier file has the same SOP Instance UID.
        case duplicate
        /// A PNG or JPEG file in a folder. Only pictures that the command line names are segmented.
        case picture
        /// A file in a folder that does not claim to be DICOM.
        case passedOver
    }

    var path: String
    var outcome: Kind
    var reason: String
}

extension FileOutcome {
    /// The number of unreadable files and the reason for the first; `nil` if all files can be read.
    static func failure(_ files: [FileOutcome]) -> String? {
        guard let first = files.first(where: { $0.outcome == .quarantined }) else { return nil }
        let count = files.count { $0.outcome == .quarantined }
        let which = count == 1 ? "" : " the first,"
        return "\(Formatted.count(count, "file")) cannot be read:\(which) \(first.path): \(first.reason)"
    }

    /// The files that do not belong to a stack; `nil` if there are none.
    static func table(_ files: [FileOutcome]) -> TextTable? {
        if files.isEmpty { return nil }
        return TextTable(
            [.init("file"), .init("kind"), .init("reason")],
            rows: files.map { [$0.path, $0.outcome.inWords, $0.reason] })
    }
}

extension FileOutcome.Kind {
    fileprivate var inWords: String {
        switch self {
        case .quarantined: "unreadable"
        case .notAnImage: "not an image"
        case .own: "made by Kontur"
        case .duplicate: "duplicate"
        case .passedOver: "skipped"
        case .picture: "picture"
        }
    }
}
