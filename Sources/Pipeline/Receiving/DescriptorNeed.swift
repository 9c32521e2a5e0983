// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Platform

/// The number of files and sockets that a node has open at most.
///
/// The node makes sure at its start that the system grants this number. Otherwise, strangers or busy peers could use up
/// the descriptors, and the node would have to refuse instances of open associations.
package struct DescriptorNeed: Sendable {
    /// Standard streams, the database with its readers, the lock, the listening sockets, and files of short use.
    private static let base = 96
    /// Pipes of a worker and its output.
    private static let perWorker = 8
    /// The socket, the instance's file, the folder that is synced, and the channel to the receiver.
    private static let perAssociation = 4
    /// The connection to a peer, the file that is sent, and the channel to the sender.
    ///
    /// Storage commitment asks and reports beside that, each over a connection with a channel.
    private static let perPeer = 7
    /// Workers that only index.
    private static let indexWorkers = 3

    /// The number of open files and sockets.
    package let total: Int
    private let maxAssociations: Int

    package init(_ listener: ListenerConfiguration, workers: Int) {
        let places = listener.places
        maxAssociations = listener.maxAssociations
        total =
            Self.base + Self.perWorker * (workers + Self.indexWorkers)
            + Self.perAssociation * (places.storing + places.verification) + 2 * HandshakePlaces.all
            + ConnectionBounds().descriptors + Self.perPeer * listener.peers.count { $0.isCallable }
    }

    /// Raises the limit of this process if necessary and possible.
    ///
    /// - Parameter raise: raises the limit to a number, and returns the limit that is in force then.
    /// - Throws: ``DescriptorShortage`` if the system allows less.
    package func provide(_ raise: (Int) -> Int) throws(DescriptorShortage) {
        let allowed = raise(total)
        if allowed < total {
            throw DescriptorShortage(maxAssociations: maxAssociations, needed: total, allowed: allowed)
        }
    }
}

/// The system allows fewer open files and sockets than the node may need.
package struct DescriptorShortage: Error, Sendable, Equatable, CustomStringConvertible {
    package let maxAssociations: Int
    package let needed: Int
    package let allowed: Int

    package var description: String {
        "a node with node.maxAssociations \(maxAssociations) needs up to \(needed) open files and sockets, and the "
            + "system allows \(allowed); raise the hard limit (LimitNOFILE of systemd, `ulimit -Hn`), or lower "
            + "node.maxAssociations"
    }
}
