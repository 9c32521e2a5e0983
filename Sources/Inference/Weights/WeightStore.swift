// SPDX-License-Identifier: Apache-2.0
//
// A folder (mode 0700) of installed weights. Weights called NAME are two files, mode 0600:
//
//   NAME.json                 the record, ``InstalledWeights`` with the weights' file name as its path
//   NAME-<hash>.safetensors   the weights; <hash> are the first 16 digits of the file's SHA-256
//
// A person may lay NAME-<hash>.rule.json beside them; it is never written, read or removed here.
//
// Weights exist when their record does. The record is renamed into place after the weights are on disk, so a crash leaves
// either the old ones or the new ones, and perhaps a file that no record names; the next change removes it.

import Foundation

/// The weights that somebody added to a node, in one folder.
public struct WeightStore: Sendable {
    /// The folder's path; it may not exist yet.
    public let folder: String

    public init(folder: String) { self.folder = folder }

    /// Everything installed, sorted by name; empty where the folder does not exist. Cheap: no weights are read.
    ///
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
    /// - Throws: `WeightStoreError.unknownName` where there are none.
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

    /// 1 to 64 letters, digits, `.`, `_`, `-`, beginning with a letter or digit: always one file name in the folder, and
    /// never that of a rule.
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

    func path(_ file: String) -> String { "\(folder)/\(file)" }

    func fileNames() throws(WeightStoreError) -> [String] {
        guard FileManager.default.fileExists(atPath: folder) else { return [] }
        do {
            return try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw .system(call: "read the folder", path: folder, reason: error.localizedDescription)
        }
    }

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
