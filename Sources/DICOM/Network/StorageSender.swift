// SPDX-License-Identifier: Apache-2.0

public import Platform

/// Stores instances at peers: the SCU of the storage and verification service classes (PS3.4 annexes A and B).
///
/// Every call blocks, and belongs on a dedicated thread.
public struct StorageSender: Sendable {
    /// The node's own AE title.
    public let aeTitle: AETitle
    /// The times that peers may take.
    public let limits: AssociationLimits
    private let resolver: HostResolver

    /// - Parameters:
    ///   - aeTitle: the node's own AE title.
    ///   - limits: the times that peers may take.
    ///   - resolver: finds the addresses of peers with a host name.
    public init(
        aeTitle: AETitle, limits: AssociationLimits = AssociationLimits(), resolver: HostResolver = .shared
    ) {
        self.aeTitle = aeTitle
        self.limits = limits
        self.resolver = resolver
    }

    /// Calls a peer and negotiates one presentation context for each SOP class in each transfer syntax.
    ///
    /// The peer is also offered Implicit VR Little Endian for each class in Explicit VR Little Endian, because every
    /// peer has to take it (PS3.5 10.1).
    ///
    /// - Parameters:
    ///   - peer: has a host and a port; otherwise the call throws `notConnected`.
    ///   - contexts: the pairs that will be sent, at most 128 different ones. If the peer does not accept a pair, the
    ///     first `store` that needs it throws.
    ///   - interruption: lets another thread end the association.
    /// - Returns: the association, which belongs to the calling thread.
    /// - Throws: `notConnected`, `timeout`, `rejected`, `aborted` or `connectionLost`.
    public func connect(
        to peer: Peer, contexts: [SOPClassAndSyntax], interruption: Interruption = Interruption()
    ) throws(AssociationError) -> StorageAssociation {
        var proposals: [SOPClassAndSyntax] = []
        for context in contexts where !proposals.contains(context) { proposals.append(context) }
        for fallback in proposals.compactMap(\.implicit) where !proposals.contains(fallback) && proposals.count < 128 {
            proposals.append(fallback)
        }
        return StorageAssociation(
            try RequestedAssociation(
                to: peer, calling: aeTitle, proposals: proposals, limits: limits, resolver: resolver,
                interruption: interruption))
    }

    /// Verifies a peer with C-ECHO over an association of its own.
    ///
    /// - Returns: the status of the C-ECHO response.
    /// - Throws: as `connect`, and `noPresentationContext` if the peer does not accept Verification.
    public func echo(
        _ peer: Peer, interruption: Interruption = Interruption()
    ) throws(AssociationError) -> DIMSEStatus {
        let verification = SOPClassAndSyntax(
            sopClassUID: SOPClass.verification, transferSyntaxUID: TransferSyntax.implicitVRLittleEndian.rawValue)
        let association = try RequestedAssociation(
            to: peer, calling: aeTitle, proposals: [verification], limits: limits, resolver: resolver,
            interruption: interruption)
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

/// An association for storing instances at a peer.
///
/// One thread at a time may use it. If the last reference to the association goes without a `release`, the peer gets an
/// A-ABORT.
public final class StorageAssociation {
    private let association: RequestedAssociation

    init(_ association: RequestedAssociation) {
        self.association = association
    }

    /// Stores a Part 10 file at the peer.
    ///
    /// The bytes of the data set are sent unchanged, in its own transfer syntax. If the peer takes only Implicit VR
    /// Little Endian, an object in Explicit VR Little Endian is sent in that syntax. Its values and UIDs stay the same.
    ///
    /// - Parameter path: a Part 10 file.
    /// - Returns: the status of the C-STORE response, which may be a refusal.
    /// - Throws: `noPresentationContext`, or `unreadableFile` if the file cannot be opened: the association goes on,
    ///   and the next instance may be sent. After any other error the association is over.
    public func store(path: String) throws(AssociationError) -> DIMSEStatus {
        let file: FileDescriptor
        do throws(SystemCallError) {
            file = try FileDescriptor(path: path, for: .reading)
        } catch {
            throw .unreadableFile(reason: error.reason)
        }
        let (meta, offset) = try Self.meta(of: file)
        let wanted = SOPClassAndSyntax(sopClassUID: meta.sopClassUID, transferSyntaxUID: meta.transferSyntaxUID)
        var contextID = association.acceptedContextID(for: wanted)
        let isUnchanged = contextID != nil
        if contextID == nil { contextID = wanted.implicit.flatMap(association.acceptedContextID) }
        guard let contextID else {
            throw .noPresentationContext(
                sopClassUID: wanted.sopClassUID, transferSyntaxUID: wanted.transferSyntaxUID)
        }
        var command = CommandSet()
        command.set(.affectedSOPClassUID, uid: meta.sopClassUID)
        command.set(.commandField, CommandField.storeRequest)
        command.set(.messageID, association.nextMessageID())
        command.set(.priority, 0)
        // Any value but 0101 says that a data set follows.
        command.set(.commandDataSetType, 0x0000)
        command.set(.affectedSOPInstanceUID, uid: meta.sopInstanceUID)
        return try association.perform(
            command, contextID: contextID,
            dataSet: OutgoingDataSet(file: file, offset: offset, asImplicitVR: !isUnchanged))
    }

    /// Reads the File Meta Information, which the first 16 KiB of a file hold.
    private static func meta(of file: FileDescriptor) throws(AssociationError) -> (meta: FileMeta, dataSetOffset: Int) {
        var head = [UInt8](repeating: 0, count: 16 << 10)
        let filled = head.withUnsafeMutableBytes { buffer in
            Result { () throws(SystemCallError) in try file.fill(buffer, at: 0) }
        }
        switch filled {
        case .success(let count): head.removeLast(head.count - count)
        case .failure(let error): throw .unreadableFile(reason: error.reason)
        }
        let read = head.withUnsafeBytes { bytes in
            Result { () throws(DataSetError) in try FileMeta.read(bytes) }
        }
        do { return try read.get() } catch { throw .unreadableFile(reason: "\(error)") }
    }

    /// Releases the association (A-RELEASE).
    public func release() {
        association.release()
    }
}
