// SPDX-License-Identifier: Apache-2.0

internal import Platform
internal import Foundation

/// Names of files that are made here.
enum FileNames {
    /// A name without anything that a folder or a shell takes for something else. Names that had to be changed get a
    /// hash, so that two of them stay two.
    static func plain(_ name: String) -> String {
        let kept = name.unicodeScalars.map { scalar -> Character in
            let isPlain = scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
            return isPlain || "._-".unicodeScalars.contains(scalar) ? Character(scalar) : "_"
        }
        let text = String(kept.prefix(80))
        if text == name, !text.hasPrefix(".") { return text }
        let hash = SHA256.hash(data: Data(name.utf8)).prefix(4).hexadecimal
        return "\(text.drop { $0 == "." })-\(hash)"
    }

    /// The deepest folder that all of these absolute paths lie in.
    static func commonFolder(of paths: [String]) -> String {
        func folders(_ path: String) -> [Substring] { Array(path.split(separator: "/").dropLast()) }
        var common = paths.first.map(folders) ?? []
        for path in paths.dropFirst() { common = zip(common, folders(path)).prefix { $0 == $1 }.map(\.0) }
        return "/" + common.joined(separator: "/")
    }
}

/// Work that reads files or computes for long, kept off Swift's cooperative pool.
enum Blocking {
    static func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            DispatchQueue.global(qos: .utility).async { continuation.resume(returning: body()) }
        }
    }
}
