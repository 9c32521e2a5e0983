// SPDX-License-Identifier: Apache-2.0

import DICOM
import Platform
import Routing

/// Reads the section `peers`.
enum PeerReader {
    /// A peer as far as it could be read.
    ///
    /// An incomplete peer still counts as known, so that its error does not cause errors in the routes that name it.
    struct ReadPeer {
        var peer: Peer
        /// Whether the peer was read without an error.
        var isComplete: Bool
        /// The place of the peer in the file.
        var place: ConfigurationPlace
    }

    static func peers(_ node: ConfigurationNode?) -> [ReadPeer] {
        let form = "peers such as {name: archive, aeTitle: ORTHANC, host: 127.0.0.1, port: 4242}"
        var peers: [ReadPeer] = []
        for element in node?.elements(expecting: form) ?? [] {
            guard let found = peer(element, known: peers.map(\.peer.name)) else { continue }
            if let other = peers.first(where: { $0.peer.isMistakenFor(found.peer) }), found.isComplete {
                element.complain(
                    "peer '\(other.peer.name)' has the same AE title and may call from the same addresses, but 'may' "
                        + "differs: Kontur could not tell who calls; give both the same 'may', or other addresses")
            }
            peers.append(found)
        }
        return peers
    }

    private static func peer(_ node: ConfigurationNode, known: [String]) -> ReadPeer? {
        let section = node.section([
            "name", "aeTitle", "host", "port", "from", "may", "viewerProfile", "commitment", "tls", "certificate",
        ])
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
        let commitment = section["commitment"]?.flag ?? false
        if commitment, host == nil || port == nil {
            section["commitment"]?.complain("commitment is asked of a peer that is called; add its 'host' and 'port'")
        }
        if commitment, may.isEmpty {
            section["commitment"]?.complain("a peer reports its commitment by a call; let it call with 'may'")
        }
        let certificate = section["certificate"].flatMap { TLSReader.rule($0) }
        let tls = section["tls"]?.flag ?? (section["certificate"] != nil)
        if !tls, let place = section["certificate"] {
            place.complain("a certificate is shown over TLS alone; set 'tls: true', or remove 'certificate'")
        }
        // A wrong title has already been reported. The stand-in keeps the peer known.
        guard let name, let title = aeTitle ?? AETitle("UNKNOWN") else { return nil }
        let peer = Peer(
            name: name, aeTitle: title, host: host, port: port, from: from, may: may, viewerProfile: profile,
            commitment: commitment, tls: tls, certificate: certificate)
        return ReadPeer(
            peer: peer, isComplete: node.problems.problems.count == before, place: node.place)
    }
}

extension Peer {
    /// Whether a caller could be this peer or the other one, while the two have different rights.
    fileprivate func isMistakenFor(_ other: Peer) -> Bool {
        guard aeTitle == other.aeTitle, may != other.may else { return false }
        // Their certificates tell them apart.
        if tls, other.tls, let certificate, let second = other.certificate, certificate != second,
            certificate.isPersonal, second.isPersonal
        {
            return false
        }
        if from.isEmpty, other.from.isEmpty, let host, host.lowercased() == other.host?.lowercased() { return true }
        return callers.contains { block in other.callers.contains { block.overlaps($0) } }
    }

    /// The blocks of addresses from which the peer may call, without those behind another host name than `localhost`.
    private var callers: [AddressBlock] {
        guard from.isEmpty, let host else { return from }
        let addresses = host.lowercased() == "localhost" ? ["127.0.0.1", "::1"] : [host]
        return addresses.compactMap { IPAddress($0) }.map { AddressBlock($0) }
    }
}

extension AddressBlock {
    /// Whether an address lies in both blocks: one of two blocks that overlap contains the other.
    fileprivate func overlaps(_ other: AddressBlock) -> Bool {
        prefixLength <= other.prefixLength ? contains(other.address) : other.contains(address)
    }
}
