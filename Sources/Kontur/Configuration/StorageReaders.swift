// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Routing

/// Reads the section `spool`.
enum SpoolReader {
    /// - Parameters:
    ///   - node: `nil` if the file does not have the section.
    ///   - folder: where a relative path starts.
    /// - Returns: the settings, with an absolute path.
    static func spool(_ node: ConfigurationNode?, folder: String) -> SpoolConfiguration {
        var spool = SpoolConfiguration()
        if let section = node?.section(["path", "minimumFree", "maxInstance", "keep"]) {
            if let path = section["path"]?.text(expecting: "the path of a folder") { spool.path = path }
            if let bytes = section["minimumFree"]?.size(atLeast: 0) { spool.minimumFree = bytes }
            if let bytes = section["maxInstance"]?.size(atLeast: 1 << 20) { spool.maxInstance = bytes }
            if let keep = section["keep"]?.section(["done", "unmatched", "quarantined"]) {
                if let time = keep["done"]?.duration { spool.keep.done = time }
                if let time = keep["unmatched"]?.duration { spool.keep.unmatched = time }
                if let time = keep["quarantined"]?.duration { spool.keep.quarantined = time }
            }
        }
        spool.path = absolute(spool.path, in: folder)
        return spool
    }
}

extension SpoolReader {
    /// The place of `path`, or of the section if the file does not name a path.
    static func place(_ node: ConfigurationNode?) -> ConfigurationPlace {
        guard let node, case .map(let entries) = node.value.content else {
            return node?.place ?? ConfigurationPlace()
        }
        return entries.first { $0.key == "path" }?.value.place ?? node.place
    }
}

/// Reads the section `models`.
enum ModelsReader {
    /// - Parameters:
    ///   - node: `nil` if the file does not have the section; the folder is then `models` in the spool.
    ///   - folder: where a relative path starts.
    ///   - spool: the absolute path of the spool.
    /// - Returns: the absolute path of the folder of installed weights.
    static func folder(_ node: ConfigurationNode?, folder: String, spool: String) -> String {
        guard let section = node?.section(["path"]), let value = section["path"],
            let path = value.text(expecting: "the path of a folder")
        else { return "\(spool)/models" }
        return absolute(path, in: folder)
    }
}

func absolute(_ path: String, in folder: String) -> String {
    URL(fileURLWithPath: path, relativeTo: URL(fileURLWithPath: folder, isDirectory: true)).standardizedFileURL.path
}

extension ConfigurationNode {
    fileprivate func size(atLeast minimum: Int64) -> Int64? {
        let form = minimum > 0 ? "\(Quantities.sizeForm), at least \(minimum >> 20)MiB" : Quantities.sizeForm
        return scalar(expecting: form) { text in
            Quantities.bytes(text).flatMap { $0 >= minimum ? $0 : nil }
        }
    }

    fileprivate var duration: Duration? {
        scalar(expecting: Quantities.durationForm) { Quantities.duration($0) }
    }
}

/// Sizes and durations as people write them.
package enum Quantities {
    fileprivate static let sizeForm = "a size such as 512MiB or 2GiB"
    fileprivate static let durationForm = "a duration such as 90s, 30m, 1h or 7d"

    private static let sizeUnits: [String: Int64] = [
        "": 1, "B": 1, "kB": 1000, "MB": 1_000_000, "GB": 1_000_000_000, "TB": 1_000_000_000_000, "KiB": 1 << 10,
        "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
    ]

    private static let durationUnits: [String: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]

    /// Reads a size such as `2GiB` or `1.5 MB`; a number without a unit counts bytes.
    package static func bytes(_ text: String) -> Int64? {
        scaled(text, by: sizeUnits, maximum: 1 << 60)
    }

    /// Reads a duration such as `7d`, `1h` or `0s`; the unit is required.
    package static func duration(_ text: String) -> Duration? {
        scaled(text, by: durationUnits, maximum: 100 * 365 * 86_400).map { .seconds($0) }
    }

    private static func scaled(_ text: String, by units: [String: Int64], maximum: Int64) -> Int64? {
        let number = text.prefix { ("0"..."9").contains($0) || $0 == "." }
        let unit = text.dropFirst(number.count).drop { $0 == " " }
        guard let factor = units[String(unit)], let value = Double(number), value.isFinite else { return nil }
        let result = (value * Double(factor)).rounded()
        return result <= Double(maximum) ? Int64(result) : nil
    }
}
