// SPDX-License-Identifier: Apache-2.0
//
// A folder (mode 0700) of installed weights. The weights called NAME consist of two files with mode
// 0600:
//
//   NAME.json                 the record, ``InstalledWeights`` with the name of the weights' file as its path
//   NAME-<hash>.safetensors   the weights; <hash> is the first 16 digits of the file's SHA-256
//
// An operator may add NAME-<hash>.rule.json. The store never writes, reads or removes this file.
//
// Weights exist if their record exists. The record is renamed into place after the weights are on
// disk. Therefore a crash leaves either the old or the new weights, and perhaps a file that no
// record names. The next change removes such a file.

import Foundation

/// The installed weights of a node, in one folder.
public struct WeightStore: Sendable {
    /// The path of the folder; the folder may not exist yet.
    public let folder: String

    /// Creates a store; the folder does not need to exist.
    public init(folder: String) { self.folder = folder }

    /// All installed weights, sorted by name.
    ///
    /// The list is empty if the folder does not exist. Only the records are read.
    ///
    /// - Returns: the records.
    /// - Throws: `WeightStoreError`.
    public func installed() throws(WeightStoreError) -> [InstalledWeights] {
        var found: [InstalledWeights] = []
        for file in try fileNames() where file.hasSuffix(Self.recordSuffix) && !file.hasSuffix(Self.ruleSuffix) {
            found.append(try record(String(file.dropLast(Self.recordSuffix.count))))
        }
        return found.sorted { $0.name < $1.name }
    }

    /// The installed weights called `name`.
    ///
    /// - Parameter name: the name in the record.
    /// - Returns: the record.
    /// - Throws: `WeightStoreError.unknownName` if no record has the name.
    public func weights(_ name: String) throws(WeightStoreError) -> InstalledWeights {
        let all = try installed()
        guard let found = all.first(where: { $0.name == name }) else {
            throw .unknownName(name, known: all.map(\.name))
        }
        return found
    }

    // MARK: files

    static let recordSuffix = ".json"
    static let ruleSuffix = ".rule.json"

    /// Whether a text can be the name of weights: 1 to 64 letters, digits, `.`, `_` and `-`,
    /// beginning with a letter or digit.
    ///
    /// Such a name is always one file name in the folder, and never that of a rule.
    static func isName(_ name: String) -> Bool {
        let allowed = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard allowed, (1...64).contains(name.utf8.count), let first = name.utf8.first,
            !(name + recordSuffix).hasSuffix(ruleSuffix)
        else { return false }
        return first != UInt8(ascii: ".") && first != UInt8(ascii: "_") && first != UInt8(ascii: "-")
    }

    /// The path of a file of the store.
    func path(_ file: String) -> String { "\(folder)/\(file)" }

    /// The names of all files in the folder; empty if the folder does not exist.
    func fileNames() throws(WeightStoreError) -> [String] {
        guard FileManager.default.fileExists(atPath: folder) else { return [] }
        do {
            return try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw .system(call: "read the folder", path: folder, reason: error.localizedDescription)
        }
    }

    /// Reads and checks the record of the weights called `name`.
    func record(_ name: String) throws(WeightStoreError) -> InstalledWeights {
        let path = path(name + Self.recordSuffix)
        guard let data = FileManager.default.contents(atPath: path),
            var weights = try? JSONDecoder().decode(InstalledWeights.self, from: data), weights.name == name,
            Self.isName(name), !weights.path.contains("/"), weights.path.hasSuffix(".safetensors")
        else { throw .record(path: path) }
        weights.path = self.path(weights.path)
        return weights
    }
}

/// An error of the store of weights.
public enum WeightStoreError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A system call failed on a file or folder.
    case system(call: String, path: String, reason: String)
    /// A file has the name of a record but is not one.
    case record(path: String)
    /// No installed weights have this name.
    case unknownName(String, known: [String])
    /// Weights cannot have this name.
    case badName(String)
    /// Other weights already have the name.
    case nameTaken(String, family: ModelFamily, source: String)
    /// The checkpoint changed while it was read.
    case changing(path: String)
    /// Another process is changing the folder.
    case busy(String)
    /// The disk does not have enough room for the converted file.
    case full(path: String, needed: Int, free: Int)

    /// The message for an operator.
    public var description: String {
        switch self {
        case .system(let call, let path, let reason): "could not \(call) \(path): \(reason)"
        case .record(let path): "\(path) is not a record of installed weights; remove it, and add the weights again"
        case .unknownName(let name, let known):
            "no installed weights are called \(name.quoted); "
                + (known.isEmpty ? "none are installed" : "installed are \(known.joined(separator: ", "))")
        case .badName(let name):
            "\(name.quoted) cannot be the name of weights; use 1 to 64 letters, digits, '.', '_' and '-', and begin "
                + "with a letter or a digit"
        case .nameTaken(let name, let family, let source):
            "the name \(name) is taken by weights of \(family.title) from \(source); choose another name with --name, "
                + "or replace those weights with --replace"
        case .changing(let path): "\(path) changed while it was read; add it again when it is complete"
        case .busy(let path): "another command is changing the weights in \(path); try again when it has finished"
        case .full(let path, let needed, let free):
            "the weights need \(needed >> 20) MiB in \(path), but only \(free >> 20) MiB are free; free disk space there"
        }
    }
}
