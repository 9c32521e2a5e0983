// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// The association that brought an instance.
public struct AssociationFacts: Sendable, Equatable {
    /// Made when the association was accepted.
    public let id: UUID
    public let callingAETitle: String
    public let calledAETitle: String
    /// The peer's IP address.
    public let address: String
    /// The peer's name in the configuration.
    public let peer: String

    public init(id: UUID, callingAETitle: String, calledAETitle: String, address: String, peer: String) {
        self.id = id
        self.callingAETitle = callingAETitle
        self.calledAETitle = calledAETitle
        self.address = address
        self.peer = peer
    }
}

/// What the command of a C-STORE says about the instance.
public struct IncomingInstance: Sendable, Equatable {
    public let sopClassUID: String
    public let sopInstanceUID: String
    public let transferSyntaxUID: String
    public let association: AssociationFacts

    public init(
        sopClassUID: String, sopInstanceUID: String, transferSyntaxUID: String, association: AssociationFacts
    ) {
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
        self.transferSyntaxUID = transferSyntaxUID
        self.association = association
    }
}

/// What a commit did. Each is answered with Success.
public enum Reception: Sendable, Equatable {
    /// A new instance.
    case stored(InstanceID)
    /// The same data set is there already; the new file is gone.
    case duplicate(of: InstanceID)
    /// Stored beside another data set of the same SOP Instance UID.
    case variant(InstanceID)

    /// The row that holds the instance.
    public var id: InstanceID {
        switch self {
        case .stored(let id), .duplicate(let id), .variant(let id): id
        }
    }
}

/// An instance could not be made durable: nothing of it is left, and it must not be acknowledged.
public enum JournalError: Error, Sendable, CustomStringConvertible {
    /// No room on the disk, for the file or for the database.
    case full(cause: String)
    /// The disk or the database failed.
    case failing(cause: String)
    /// The database was made by a newer version of Kontur.
    case newerSchema(found: Int, known: Int)
    /// The database is not one of Kontur's.
    case foreignDatabase(path: String)

    public var description: String {
        switch self {
        case .full(let cause): "the journal has no room: free disk space: \(cause)"
        case .failing(let cause): "the journal cannot be written: \(cause)"
        case .newerSchema(let found, let known):
            "the spool's database has schema \(found), this kontur knows \(known): install the newer kontur again, "
                + "or start with another spool.path"
        case .foreignDatabase(let path): "\(path) is not a Kontur database: choose another spool.path"
        }
    }
}
