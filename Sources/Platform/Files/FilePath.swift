// SPDX-License-Identifier: Apache-2.0
//
// A name on Linux is a run of bytes. It need not be text: names of old archives are often in Latin-1 or Shift-JIS. Two
// names that are one text to Swift, such as é in one and in two code points, are two names to the system.

import Glibc

/// A path as the system holds it: bytes, compared as bytes.
public struct FilePath: Sendable, Hashable {
    /// The path without a NUL.
    public let bytes: [UInt8]

    /// A path from its bytes; the bytes from the first NUL on are left out.
    public init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes.prefix { $0 != 0 }) }

    /// A path from text, in UTF-8.
    public init(_ text: String) { self.init(bytes: text.utf8) }

    /// A path that the command line names.
    ///
    /// Swift replaces bytes of arguments that are not UTF-8. The path then has the bytes of the argument that reads like
    /// `text`.
    public init(argument text: String) {
        guard text.unicodeScalars.contains("\u{FFFD}") else {
            self.init(text)
            return
        }
        let arguments = (0..<Int(CommandLine.argc)).compactMap { CommandLine.unsafeArgv[$0] }
        let same = arguments.first { String(cString: $0) == text }
        let bytes = same.map { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
        self.init(bytes: bytes ?? Array(text.utf8))
    }

    /// The path for people: bytes that are not UTF-8 and control characters are written as `\xE9`.
    public var shown: String {
        var shown = ""
        var rest = bytes[...]
        while !rest.isEmpty {
            // A character of UTF-8 has at most four bytes.
            let length = (1...min(4, rest.count)).first { String(validating: rest.prefix($0), as: UTF8.self) != nil }
            if let length, rest.first.map({ $0 >= 0x20 && $0 != 0x7F }) == true {
                shown += String(decoding: rest.prefix(length), as: UTF8.self)
                rest = rest.dropFirst(length)
            } else {
                let digits = String(rest[rest.startIndex], radix: 16, uppercase: true)
                shown += "\\x" + (digits.count == 1 ? "0" : "") + digits
                rest = rest.dropFirst()
            }
        }
        return shown
    }

    /// Whether the path consists of printable ASCII characters, so that it is the same text everywhere.
    public var isASCII: Bool { bytes.allSatisfy { (0x20..<0x7F).contains($0) } }

    /// The name after the last slash.
    public var name: FilePath { FilePath(bytes: bytes.split(separator: UInt8(ascii: "/")).last ?? []) }

    /// Whether the name begins with a dot.
    public var isHidden: Bool { name.bytes.first == UInt8(ascii: ".") }

    /// The path of a name in this folder.
    public func appending(_ name: FilePath) -> FilePath {
        FilePath(bytes: bytes + (bytes.last == UInt8(ascii: "/") ? [] : [UInt8(ascii: "/")]) + name.bytes)
    }

    fileprivate func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        (bytes + [0]).withUnsafeBufferPointer { buffer in
            buffer.withMemoryRebound(to: CChar.self) { chars in
                guard let start = chars.baseAddress else { preconditionFailure("a path has at least its NUL") }
                return body(start)
            }
        }
    }
}

extension FileSystem {
    /// A file or folder, whatever names it has.
    public struct Identity: Sendable, Hashable {
        private let device: UInt64
        private let inode: UInt64

        fileprivate init(_ status: stat) {
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
        }
    }

    /// The kind and the identity of the thing that `path` names.
    ///
    /// - Parameters:
    ///   - path: absolute, or relative to the working folder.
    ///   - followingLinks: whether a symbolic link stands for its target.
    /// - Returns: never the kind `symbolicLink` if links are followed.
    /// - Throws: the error of stat(2) or lstat(2).
    public static func examine(
        _ path: FilePath, followingLinks: Bool = true
    ) throws(SystemCallError) -> (kind: Kind, identity: Identity) {
        var status = stat()
        let result = path.withCString { followingLinks ? stat($0, &status) : lstat($0, &status) }
        guard result == 0 else { throw .last("stat") }
        return (kind(status), Identity(status))
    }

    /// The names in a folder, sorted by their bytes, without `.` and `..`.
    ///
    /// - Throws: the error of open(2) or readdir(3).
    public static func names(in folder: FilePath) throws(SystemCallError) -> [FilePath] {
        guard let stream = folder.withCString({ opendir($0) }) else { throw .last("opendir") }
        defer { closedir(stream) }
        var names: [FilePath] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw .last("readdir") }
                return names.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
            }
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { FilePath(bytes: $0) }
            if bytes.bytes != [0x2E] && bytes.bytes != [0x2E, 0x2E] { names.append(bytes) }
        }
    }

    /// The absolute path of `path` with every symbolic link followed.
    ///
    /// - Throws: the error of realpath(3), for instance if the path does not exist.
    public static func resolved(_ path: FilePath) throws(SystemCallError) -> FilePath {
        guard let text = path.withCString({ realpath($0, nil) }) else { throw .last("realpath") }
        defer { free(text) }
        return FilePath(bytes: UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }

    /// Makes a symbolic link.
    ///
    /// - Parameters:
    ///   - link: the path of the new link.
    ///   - target: the absolute path that it stands for.
    /// - Throws: the error of symlink(2).
    public static func makeLink(_ link: String, to target: FilePath) throws(SystemCallError) {
        guard target.withCString({ symlink($0, link) }) == 0 else { throw .last("symlink") }
    }
}
