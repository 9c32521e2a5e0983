// SPDX-License-Identifier: Apache-2.0

import DICOM
import Pipeline
import Platform
import Routing

/// Reads the section `node`.
struct NodeReader {
    var listener: ListenerConfiguration
    var workers = 1

    init(_ node: ConfigurationNode?, peers: [Peer]) {
        guard let aeTitle = AETitle("KONTUR") else { preconditionFailure("KONTUR is an AE title") }
        listener = ListenerConfiguration(aeTitle: aeTitle, peers: peers)
        guard let section = node?.section(["aeTitle", "port", "bind", "maxAssociations", "workers"]) else { return }
        if let title = section["aeTitle"]?.aeTitle { listener.aeTitle = title }
        // Port 0 is for tests: the kernel chooses a port, and the start line names it.
        if let port = section["port"]?.integer(0...65535, what: "a port") { listener.port = UInt16(port) }
        if let bind = section["bind"]?.scalar(
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

/// Reads the section `peers`.
enum PeerReader {
    /// A peer as far as it could be read.
    ///
    /// An incomplete peer still counts as known, so that its error does not cause errors in the routes that name it.
    struct ReadPeer {
        var peer: Peer
        /// Whether the peer was read without an error.
        var isComplete: Bool
    }

    static func peers(_ node: ConfigurationNode?) -> [ReadPeer] {
        let form = "peers such as {name: archive, aeTitle: ORTHANC, host: 127.0.0.1, port: 4242}"
        var peers: [ReadPeer] = []
        for element in node?.elements(expecting: form) ?? [] {
            if let found = peer(element, known: peers.map(\.peer.name)) { peers.append(found) }
        }
        return peers
    }

    private static func peer(_ node: ConfigurationNode, known: [String]) -> ReadPeer? {
        let section = node.section(["name", "aeTitle", "host", "port", "from", "may", "viewerProfile"])
        let before = node.problems.problems.count
        let name = section.required("name", "routes name the peer by it")?.name
        if let name, known.contains(name) { section["name"]?.complain("an earlier peer has this name") }
        let aeTitle = section.required("aeTitle", "the peer's own AE title")?.aeTitle
        let host = section["host"]?.scalar(expecting: "a host name or an IP address") { text in
            text.isEmpty || text.contains { $0.isWhitespace || $0 == "/" } ? nil : text
        }
        let port = section["port"]?.integer(1...65535, what: "a port").map { UInt16($0) }
        if let place = section["port"], section["host"] == nil { place.complain("a port needs a 'host'; add one") }
        var from: [AddressBlock] = []
        for element in section["from"]?.elements(expecting: "addresses such as 10.1.0.0/24") ?? [] {
            let block = element.scalar(expecting: "an address or a block such as 10.1.0.0/24") { AddressBlock($0) }
            if let block { from.append(block) }
        }
        if section["host"] == nil, section["from"] == nil {
            node.complain("'host' and 'from' are missing: the peer could neither call nor be called; add one of them")
        }
        var may: Set<Peer.Permission> = [.store, .echo]
        if let place = section["may"] {
            may = Set(place.elements(expecting: "store and echo").compactMap { $0.choice(Peer.Permission.self) })
        }
        let profile = section["viewerProfile"]?.choice(ViewerProfile.Name.self) ?? .strict
        // A wrong title has already been reported. The stand-in keeps the peer known.
        guard let name, let title = aeTitle ?? AETitle("UNKNOWN") else { return nil }
        let peer = Peer(
            name: name, aeTitle: title, host: host, port: port, from: from, may: may, viewerProfile: profile)
        return ReadPeer(peer: peer, isComplete: node.problems.problems.count == before)
    }
}

extension ConfigurationNode {
    /// An AE title: PS3.5 6.2, VR AE.
    fileprivate var aeTitle: AETitle? {
        scalar(expecting: "an AE title: 1 to 16 ASCII characters, no backslash") { AETitle($0) }
    }
}

/// Reads the section `series`.
enum SeriesReader {
    private static let times = ["quietSeconds", "waitAtMostSeconds"]

    static func series(_ node: ConfigurationNode?) -> SeriesConfiguration {
        var series = SeriesConfiguration()
        guard let section = node?.section(times + ["perModality"]) else { return series }
        series.waiting = waiting(section, otherwise: series.waiting)
        let form = "modalities such as {ES: {quietSeconds: 120}}"
        for (entry, value) in section["perModality"]?.entries(expecting: form) ?? [] {
            let isCode =
                (1...16).contains(entry.key.utf8.count)
                && entry.key.utf8.allSatisfy { byte in
                    (0x41...0x5A).contains(byte) || (0x30...0x39).contains(byte)
                }
            if !isCode {
                value.problems.add(entry.keyPlace, "expected a modality such as ES or MR, in capitals")
            }
            series.perModality[entry.key] = waiting(value.section(times), otherwise: series.waiting)
        }
        return series
    }

    private static func waiting(
        _ section: ConfigurationSection, otherwise: SeriesConfiguration.Waiting
    ) -> SeriesConfiguration.Waiting {
        var waiting = otherwise
        if let seconds = section["quietSeconds"]?.integer(1...86_400, what: "seconds") {
            waiting.quietSeconds = seconds
        }
        if let seconds = section["waitAtMostSeconds"]?.integer(1...86_400, what: "seconds") {
            waiting.waitAtMostSeconds = seconds
        }
        guard waiting.waitAtMostSeconds < waiting.quietSeconds else { return waiting }
        if let place = section["waitAtMostSeconds"] {
            place.complain("less than quietSeconds, which is \(waiting.quietSeconds)")
        } else {
            waiting.waitAtMostSeconds = waiting.quietSeconds
        }
        return waiting
    }
}
