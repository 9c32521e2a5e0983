// SPDX-License-Identifier: Apache-2.0

import DICOM

/// Reads `peers:`.
enum PeerReader {
    /// A peer, and all names that were meant for one: a peer with an error must not make its routes wrong too.
    struct Named {
        var peer: Peer
        var isComplete: Bool
    }

    static func peers(_ node: ConfigurationNode?) -> [Named] {
        var peers: [Named] = []
        for element in node?.elements(
            expecting: "peers such as {name: archive, aeTitle: ORTHANC, host: 127.0.0.1, port: 4242}")
            ?? []
        {
            guard let named = peer(element, known: peers.map(\.peer.name)) else { continue }
            peers.append(named)
        }
        return peers
    }

    private static func peer(_ node: ConfigurationNode, known: [String]) -> Named? {
        let section = node.section(["name", "aeTitle", "host", "port", "from", "may", "viewerProfile"])
        let before = node.problems.problems.count
        let name = section.required("name", "routes name the peer by it")?.name
        if let name, known.contains(name) { section["name"]?.complain("a peer of this name stands above") }
        let aeTitle = section.required("aeTitle", "the peer's own AE title")?.aeTitle
        let host = section["host"]?.value(expecting: "a host name or an IP address") { text in
            text.isEmpty || text.contains { $0.isWhitespace || $0 == "/" } ? nil : text
        }
        let port = section["port"]?.integer(1...65535, what: "a port").map { UInt16($0) }
        if let place = section["port"], section["host"] == nil { place.complain("a port without a host to call") }
        var from: [AddressBlock] = []
        for element in section["from"]?.elements(expecting: "addresses such as 10.1.0.0/24") ?? [] {
            let block = element.value(expecting: "an address or a block such as 10.1.0.0/24") { AddressBlock($0) }
            if let block { from.append(block) }
        }
        if section["host"] == nil, section["from"] == nil {
            node.complain("neither 'host' nor 'from': nobody could call as this peer, and it cannot be called")
        }
        var may: Set<Peer.Permission> = [.store, .echo]
        if let place = section["may"] {
            may = Set(place.elements(expecting: "store and echo").compactMap { $0.word(Peer.Permission.self) })
        }
        let profile = section["viewerProfile"]?.word(ViewerProfile.Name.self) ?? .strict
        // A peer whose title is wrong is still known by its name, so that the routes to it are not wrong as well.
        guard let name, let title = aeTitle ?? AETitle("UNKNOWN") else { return nil }
        let peer = Peer(
            name: name, aeTitle: title, host: host, port: port, from: from, may: may, viewerProfile: profile)
        return Named(peer: peer, isComplete: node.problems.problems.count == before)
    }
}
