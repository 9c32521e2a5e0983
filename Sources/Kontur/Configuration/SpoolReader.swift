// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence

/// Reads `spool:`.
enum SpoolReader {
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
        spool.path = ConfiguredPath.absolute(spool.path, in: folder)
        return spool
    }
}

/// Reads `models:`.
enum ModelsReader {
    /// The folder of installed weights, absolute; without the section `models` in the spool.
    static func folder(_ node: ConfigurationNode?, folder: String, spool: String) -> String {
        guard let section = node?.section(["path"]), let value = section["path"],
            let path = value.text(expecting: "the path of a folder")
        else { return "\(spool)/models" }
        return ConfiguredPath.absolute(path, in: folder)
    }
}

enum ConfiguredPath {
    /// - Parameter folder: where a relative path starts.
    static func absolute(_ path: String, in folder: String) -> String {
        URL(fileURLWithPath: path, relativeTo: URL(fileURLWithPath: folder, isDirectory: true)).standardizedFileURL.path
    }
}

extension ConfigurationNode {
    fileprivate func size(atLeast minimum: Int64) -> Int64? {
        let form = minimum > 0 ? "\(Quantities.sizeForm), at least \(minimum >> 20)MiB" : Quantities.sizeForm
        return value(expecting: form) { text in
            Quantities.bytes(text).flatMap { $0 >= minimum ? $0 : nil }
        }
    }

    fileprivate var duration: Duration? {
        value(expecting: Quantities.durationForm) { Quantities.duration($0) }
    }
}
