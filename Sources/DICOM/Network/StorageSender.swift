// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Stores instances at peers: the SCU of the storage and verification service classes (PS3.4 annexes A and B).
///
/// Every call blocks and belongs on a thread of its own.
public struct StorageSender: Sendable {
    /// What we call ourselves.
    public let aeTitle: AETitle
    public let limits: AssociationLimits

    public init(aeTitle: AETitle, limits: AssociationLimits = AssociationLimits()) {
        self.aeTitle = aeTitle
        self.limits = limits
    }

    /// Calls a peer and negotiates one presentation context for each SOP class in each transfer syntax.
    ///
    /// - Parameters:
    ///   - contexts: what will be sent, at most 128; doubles count once. What the peer does not take shows with the
    ///     first instance that needs it.
    ///   - interruption: its `stop` ends whatever the association is blocked on.
    /// - Throws: `notConnected`, `timeout`, `rejected`, `aborted` or `connectionLost`.
    public func connect(
        to peer: Peer, contexts: [SOPClassAndSyntax], interruption: Interruption = Interruption()
    ) throws(AssociationError) -> StorageAssociation {
        var proposals: [SOPClassAndSyntax] = []
        for context in contexts where !proposals.contains(context) { proposals.append(context) }
        return StorageAssociation(
            try RequestedAssociation(
                to: peer, calling: aeTitle, proposals: proposals, limits: limits, interruption: interruption))
    }

    /// C-ECHO over an association of its own.
    ///
    /// - Throws: as `connect`, and `noPresentationContext` when the peer does not let itself be verified.
    public func echo(
        _ peer: Peer, interruption: Interruption = Interruption()
    ) throws(AssociationError) -> DIMSEStatus {
        let verification = SOPClassAndSyntax(
            sopClassUID: SOPClass.verification, transferSyntaxUID: TransferSyntax.implicitVRLittleEndian.rawValue)
        let association = try RequestedAssociation(
            to: peer, calling: aeTitle, proposals: [verification], limits: limits, interruption: interruption)
        defer { association.release() }
        let contextID = try association.contextID(for: verification)
        var command = CommandSet()
        command.set(.affectedSOPClassUID, uid: SOPClass.verification)
        command.set(.commandField, CommandField.echoRequest)
        command.set(.messageID, association.nextMessageID())
        command.set(.commandDataSetType, CommandSet.noDataSet)
        return try association.perform(command, contextID: contextID)
    }
}

/// An association to store over. Used by one thread at a time; one that is dropped without `release` is aborted.
public final class StorageAssociation {
    private let association: RequestedAssociation

    init(_ association: RequestedAssociation) {
        self.association = association
    }

    /// Stores the Part 10 file at `path`, its data set as it lies on disk, in its own transfer syntax.
    ///
    /// - Returns: the status of the C-STORE response, which may be a refusal.
    /// - Throws: `noPresentationContext`, or `unreadableFile` before anything was sent: the association stands and the
    ///   next instance may be sent. After any other error it is over.
    public func store(path: String) throws(AssociationError) -> DIMSEStatus {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unreadableFile(reason: errorText(errno)) }
        defer { close(descriptor) }
        let (meta, offset) = try Self.meta(of: descriptor)
        let contextID = try association.contextID(
            for: SOPClassAndSyntax(sopClassUID: meta.sopClassUID, transferSyntaxUID: meta.transferSyntaxUID))
        var command = CommandSet()
        command.set(.affectedSOPClassUID, uid: meta.sopClassUID)
        command.set(.commandField, CommandField.storeRequest)
        command.set(.messageID, association.nextMessageID())
        command.set(.priority, 0)
        // Any value but 0101 says that a data set follows.
        command.set(.commandDataSetType, 0x0000)
        command.set(.affectedSOPInstanceUID, uid: meta.sopInstanceUID)
        return try association.perform(command, contextID: contextID, dataSet: (descriptor, offset))
    }

    /// Reads the File Meta Information, which the first 16 KiB of a file hold.
    private static func meta(of descriptor: Int32) throws(AssociationError) -> (meta: FileMeta, dataSetOffset: Int) {
        var head = [UInt8](repeating: 0, count: 16 << 10)
        let count = pread(descriptor, &head, head.count, 0)
        guard count >= 0 else { throw .unreadableFile(reason: errorText(errno)) }
        head.removeLast(head.count - count)
        let read = head.withUnsafeBytes { bytes in
            Result { () throws(DataSetError) in try FileMeta.read(bytes) }
        }
        do { return try read.get() } catch { throw .unreadableFile(reason: "\(error)") }
    }

    /// Ends the association in good order.
    public func release() {
        association.release()
    }
}
