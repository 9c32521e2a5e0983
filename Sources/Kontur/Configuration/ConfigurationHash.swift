// SPDX-License-Identifier: Apache-2.0

import Platform
import Yams

/// The SHA-256 of a configuration's meaning: comments, layout, quoting and the order of keys do not change it; the order
/// of lists does, because the first route wins.
enum ConfigurationHash {
    static func hash(_ node: Node) -> String {
        SHA256.hash(data: canonical(node)).hexadecimal
    }

    /// Each value with its kind and length before it, keys sorted.
    private static func canonical(_ node: Node) -> [UInt8] {
        switch node {
        case .scalar(let scalar): return field("s", Array(scalar.string.utf8))
        case .sequence(let sequence): return field("l", sequence.flatMap(canonical))
        case .mapping(let mapping):
            let entries = mapping.map { canonical($0.key) + canonical($0.value) }
            return field("m", entries.sorted { $0.lexicographicallyPrecedes($1) }.flatMap { $0 })
        case .alias: return field("a", [])
        }
    }

    private static func field(_ kind: String, _ bytes: [UInt8]) -> [UInt8] {
        Array("\(kind)\(bytes.count):".utf8) + bytes
    }
}
