// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The files that a command line names, folders gone through.
struct FileCollection {
    struct Refused: Error {
        var path: String
        var reason: String
    }

    struct Found {
        var path: String
        /// The command line names this very file, not a folder above it.
        var isNamed: Bool
    }

    /// As given or found below what was given; sorted within each folder, none twice.
    private(set) var files: [Found] = []
    private(set) var refused: [Refused] = []

    /// - Parameter paths: files and folders; names that begin with a dot are passed over inside folders.
    init(paths: [String]) {
        var seen: Set<String> = []
        for path in paths {
            for file in Self.files(at: path, refused: &refused) {
                let real = URL(fileURLWithPath: file).resolvingSymlinksInPath().path
                if seen.insert(real).inserted { files.append(Found(path: file, isNamed: file == path)) }
            }
        }
    }

    private static func files(at path: String, refused: inout [Refused]) -> [String] {
        var status = stat()
        guard stat(path, &status) == 0 else {
            refused.append(Refused(path: path, reason: "cannot be opened: \(String(cString: strerror(errno)))"))
            return []
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return [path]
        case S_IFDIR: return content(of: path, refused: &refused)
        default:
            refused.append(Refused(path: path, reason: "neither a file nor a folder"))
            return []
        }
    }

    /// Walks a folder with a list of its own rather than by recursion; links to folders are not followed, so there are no circles.
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
                var link = stat()
                var target = stat()
                guard lstat(path, &link) == 0, stat(path, &target) == 0 else {
                    refused.append(Refused(path: path, reason: "cannot be opened: \(String(cString: strerror(errno)))"))
                    continue
                }
                switch (target.st_mode & S_IFMT, link.st_mode & S_IFMT) {
                case (S_IFREG, _): found.append(path)
                case (S_IFDIR, S_IFDIR): folders.append(path)
                case (S_IFDIR, _): break
                default: refused.append(Refused(path: path, reason: "neither a file nor a folder"))
                }
            }
            waiting += folders.reversed()
        }
        return found
    }
}
