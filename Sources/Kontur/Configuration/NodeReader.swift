// SPDX-License-Identifier: Apache-2.0

import DICOM
import Pipeline

/// Reads `node:`.
struct NodeReader {
    var listener: ListenerConfiguration
    var workers = 1

    init(_ node: ConfigurationNode?, peers: [Peer]) {
        guard let aeTitle = AETitle("KONTUR") else { preconditionFailure("KONTUR is an AE title") }
        listener = ListenerConfiguration(aeTitle: aeTitle, peers: peers)
        guard let section = node?.section(["aeTitle", "port", "bind", "maxAssociations", "workers"]) else { return }
        if let title = section["aeTitle"]?.aeTitle { listener.aeTitle = title }
        // Port 0 is for tests: the kernel chooses, and the start line says which.
        if let port = section["port"]?.integer(0...65535, what: "a port") { listener.port = UInt16(port) }
        if let bind = section["bind"]?.value(
            expecting: "an IP address such as 0.0.0.0, 127.0.0.1 or ::", { IPAddress($0) })
        {
            listener.bind = bind
        }
        if let count = section["maxAssociations"]?.integer(1...1024, what: "a number of associations") {
            listener.maxAssociations = count
        }
        if let count = section["workers"]?.integer(1...64, what: "a number of workers") { workers = count }
    }
}

extension ConfigurationNode {
    /// PS3.5 6.2, VR AE.
    var aeTitle: AETitle? {
        value(expecting: "an AE title: 1 to 16 ASCII characters, no backslash") { AETitle($0) }
    }

    /// The name of a peer or a route: it stands in tables, logs and file names.
    var name: String? {
        value(expecting: "a name: up to 64 letters, digits, '-', '_' and '.', beginning with a letter or digit") {
            text in
            let isWord: (Character) -> Bool = { $0.isASCII && ($0.isLetter || $0.isNumber) }
            guard text.count <= 64, let first = text.first, isWord(first) else { return nil }
            return text.allSatisfy { isWord($0) || "-_.".contains($0) } ? text : nil
        }
    }
}
