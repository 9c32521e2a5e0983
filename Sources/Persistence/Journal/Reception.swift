// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// The association that brought an instance.
public struct AssociationFacts: Sendable, Equatable {
    /// Identifies the association; made when it was accepted.
    public let id: UUID
    /// AE title of the peer.
    public let callingAETitle: String
    /// AE title that the peer called.
    public let calledAETitle: String
    /// IP address of the peer.
    public let address: String
    /// Name of the peer in the configuration.
    public let peer: String
    /// SHA-256 of the certificate that the peer showed; `nil` on a plain connection.
    public let certificate: String?

    /// Describes an association.
    public init(
        id: UUID, callingAETitle: String, calledAETitle: String, address: String, peer: String,
        certificate: String? = nil
    ) {
        self.id = id
        self.callingAETitle = callingAETitle
        self.calledAETitle = calledAETitle
        self.address = address
        self.peer = peer
        self.certificate = certificate
    }
}

/// An instance as the C-STORE command describes it.
public struct IncomingInstance: Sendable, Equatable {
    /// Affected SOP Class UID of the command.
    public let sopClassUID: String
    /// Affected SOP Instance UID of the command.
    public let sopInstanceUID: String
    /// Transfer syntax of the presentation context.
    public let transferSyntaxUID: String
    /// The association that brings the instance.
    public let association: AssociationFacts

    /// Describes an instance.
    public init(
        sopClassUID: String, sopInstanceUID: String, transferSyntaxUID: String, association: AssociationFacts
    ) {
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
        self.transferSyntaxUID = transferSyntaxUID
        self.association = association
    }
}

/// The outcome of a commit; the node answers each outcome with Success.
public enum Reception: Sendable, Equatable {
    /// The instance is new.
    case stored(InstanceID)
    /// The same data set was stored before; the new file was removed.
    case duplicate(of: InstanceID)
    /// The instance was stored beside another data set with the same SOP Instance UID.
    case variant(InstanceID)

    /// The row that holds the instance.
    public var id: InstanceID {
        switch self {
        case .stored(let id), .duplicate(let id), .variant(let id): id
        }
    }
}

/// Instances with committed rows and with files that may not be on disk yet.
///
/// A second copy that arrives meanwhile must not be acknowledged, because the first copy may still fail.
// `@unchecked`: everything mutable is used only under `turn`.
final class UnsettledInstances: @unchecked Sendable {
    private let turn = NSCondition()
    /// Files that are being synced.
    private var pending: Set<Int64> = []
    /// Files that could not be synced; their rows are removed, or could not be removed.
    private var withdrawn: Set<Int64> = []
    /// Files that are on disk; their rows do not say so yet.
    private var confirmed: [Int64] = []

    /// Notes that the file of a new row is being synced.
    func begin(_ id: Int64) {
        turn.withLock { _ = pending.insert(id) }
    }

    /// Notes how the sync ended: the file is on disk, or the row was withdrawn.
    func end(_ id: Int64, confirmed isConfirmed: Bool, withdrawn isWithdrawn: Bool = false) {
        turn.withLock {
            pending.remove(id)
            if isConfirmed {
                confirmed.append(id)
                withdrawn.remove(id)
            }
            if isWithdrawn { withdrawn.insert(id) }
            turn.broadcast()
        }
    }

    /// Blocks until the sync of the instance has ended.
    func wait(_ id: Int64) {
        turn.withLock {
            while pending.contains(id) { turn.wait() }
        }
    }

    /// Whether readers must not see the row yet.
    func contains(_ id: Int64) -> Bool {
        turn.withLock { pending.contains(id) || withdrawn.contains(id) }
    }

    /// Takes the rows that the next transaction marks as confirmed.
    func takeConfirmed() -> [Int64] {
        turn.withLock {
            defer { confirmed.removeAll(keepingCapacity: true) }
            return confirmed
        }
    }

    /// Takes rows back if their transaction failed.
    func giveBack(_ ids: [Int64]) {
        turn.withLock { confirmed += ids }
    }
}
