// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Persistence
import Pipeline
package import Platform
import Routing

/// The places of settings that are compared with the machine after reading the file.
struct MachinePlaces: Sendable, Hashable {
    /// The value of `spool.maxInstance`, `spool.minimumFree` or `spool`, whichever the file has first in this order.
    var room = ConfigurationPlace()
    /// The place of each peer, by its name.
    var peers: [String: ConfigurationPlace] = [:]
    /// The place of each setting of `node.tls`, and of the section under an empty name.
    var tls: [String: ConfigurationPlace] = [:]

    init(node: ConfigurationNode?, spool: ConfigurationNode?, peers: [PeerReader.ReadPeer]) {
        if case .map(let settings) = node?.value.content,
            let section = settings.first(where: { $0.key == "tls" })?.value
        {
            tls[""] = section.place
            if case .map(let entries) = section.content { for entry in entries { tls[entry.key] = entry.value.place } }
        }
        if let spool, case .map(let settings) = spool.value.content {
            let place = { (key: String) in settings.first { $0.key == key }?.value.place }
            room = place("maxInstance") ?? place("minimumFree") ?? spool.place
        }
        self.peers = Dictionary(peers.map { ($0.peer.name, $0.place) }) { first, _ in first }
    }
}

extension NodeConfiguration {
    /// Checks the settings that depend on this machine: the size of the spool's disk, and the node's own addresses.
    ///
    /// - Parameters:
    ///   - addresses: the addresses of the network interfaces.
    ///   - diskSize: the size in bytes of the spool's file system; `nil` if it is not known.
    /// - Throws: `ConfigurationError` with every setting that cannot work here.
    package func checkMachine(
        addresses: [IPAddress], diskSize: Int64?
    ) throws(ConfigurationError) {
        // A node without a configuration refuses every caller anyway.
        guard let file else { return }
        let problems = ProblemList(file: file)
        if let reason = diskSize.flatMap({ spool.impossibility(diskSize: $0) }) {
            problems.add(machinePlaces.room, reason)
        }
        for peer in peers where isItself(peer, addresses) {
            problems.add(
                machinePlaces.peers[peer.name] ?? ConfigurationPlace(),
                "peer '\(peer.name)' is this node itself: it listens at \(peer.host ?? ""):\(peer.port ?? 0); give the "
                    + "address and port of the other node, or remove the peer")
        }
        try problems.check()
    }

    /// Checks the settings that depend on this machine.
    ///
    /// - Throws: `ConfigurationError` with every setting that cannot work here.
    package func checkMachine() throws(ConfigurationError) {
        try checkMachine(addresses: IPAddress.ofThisMachine, diskSize: spool.diskSize)
    }

    /// Whether a call of the peer would reach this node.
    private func isItself(_ peer: Peer, _ addresses: [IPAddress]) -> Bool {
        guard let host = peer.host, let port = peer.port, port == listener.port || port == listener.tls?.port else {
            return false
        }
        if host.lowercased() == "localhost" { return listener.bind.isUnspecified || listener.bind.isLoopback }
        guard let address = IPAddress(host) else { return false }
        if !listener.bind.isUnspecified { return address == listener.bind }
        return address.isLoopback || addresses.contains(address)
    }
}
