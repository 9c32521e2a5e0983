// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Logging
import Persistence
import Platform

/// Serves one association on its thread: stores instances, and answers requests for storage commitment.
///
/// It answers Success only after the journal has made the instance durable. The receiver reads a data set to its end even
/// if the instance cannot be stored, because the peer waits for the answer only after it has sent everything.
final class StorageReception {
    private let association: ReceivedAssociation
    private let peer: Peer
    private let idleLimit: Duration
    private let facts: AssociationFacts
    private let spool: Spool
    private let journal: Journal
    private let commitment: (any StorageCommitmentReceiver)?
    private let clock: NodeClock
    private let logger: Logger
    private let onReceived: () -> Void
    /// Instances acknowledged with Success.
    private(set) var stored = 0

    init(
        association: ReceivedAssociation, id: UUID, peer: Peer, certificate: String?, calledAETitle: AETitle,
        idleLimit: Duration, spool: Spool, journal: Journal, commitment: (any StorageCommitmentReceiver)?,
        clock: NodeClock, logger: Logger, onReceived: @escaping () -> Void
    ) {
        self.association = association
        self.peer = peer
        self.idleLimit = idleLimit
        self.spool = spool
        self.journal = journal
        self.commitment = commitment
        self.clock = clock
        self.logger = logger
        self.onReceived = onReceived
        facts = AssociationFacts(
            id: id, callingAETitle: peer.aeTitle.text, calledAETitle: calledAETitle.text,
            address: "\(association.address)", peer: peer.name, certificate: certificate)
    }

    /// Serves until the peer releases the association.
    ///
    /// - Throws: the error that ended the association.
    func run() throws(AssociationError) {
        while let request = try association.nextRequest(idleLimit: idleLimit) {
            switch request {
            case .store(let request): try store(request)
            case .asked(let request):
                let status = commitment?.asked(
                    request, by: peer, address: association.address, over: association.reports)
                try association.answer(status ?? .unrecognizedOperation)
            case .told(let result):
                let status = commitment?.told(result, by: peer, address: association.address)
                try association.answer(status ?? .unrecognizedOperation)
            }
        }
    }

    private func store(_ request: StoreRequest) throws(AssociationError) {
        guard request.hasDataSet else { return try association.refuse(.cannotUnderstand) }
        guard let sopClass = request.sopClassUID, let sopInstance = request.sopInstanceUID else {
            return try association.refuse(
                refused(.invalidSOPInstance, "the command lacks a valid SOP class UID or SOP instance UID"))
        }
        guard request.fitsContext else {
            return try association.refuse(
                refused(.sopClassNotSupported, "the SOP class differs from that of the presentation context"))
        }
        let instance = IncomingInstance(
            sopClassUID: sopClass, sopInstanceUID: sopInstance, transferSyntaxUID: request.transferSyntaxUID,
            association: facts)
        let file: IncomingFile
        do throws(SpoolError) {
            file = try begin(instance)
        } catch {
            return try association.refuse(refused(Self.status(for: error), "\(error)"))
        }
        try association.answer(try receive(file, instance))
    }

    /// Opens the instance's file and writes its Part 10 header.
    private func begin(_ instance: IncomingInstance) throws(SpoolError) -> IncomingFile {
        let meta = FileMeta(
            sopClassUID: instance.sopClassUID, sopInstanceUID: instance.sopInstanceUID,
            transferSyntaxUID: instance.transferSyntaxUID, sourceAETitle: peer.aeTitle)
        let file = try spool.incomingFile(now: clock.wall())
        let header = meta.encoded
        do throws(SpoolError) {
            try header.span.bytes.withUnsafeBytes { bytes throws(SpoolError) in try file.writeHeader(bytes) }
            return file
        } catch {
            file.discard()
            throw error
        }
    }

    /// Has the receiver append the data set, and makes the instance durable.
    ///
    /// - Returns: the status of the response.
    private func receive(_ file: IncomingFile, _ instance: IncomingInstance) throws(AssociationError) -> DIMSEStatus {
        var shortage: SpoolError?
        let dataSet: ReceivedDataSet
        do throws(AssociationError) {
            dataSet = try association.take(into: file.number, limit: file.room) {
                do throws(SpoolError) {
                    try file.checkGrowth()
                } catch {
                    shortage = error
                }
                return shortage != nil
            }
        } catch {
            file.discard()
            throw error
        }
        do throws(SpoolError) {
            if let shortage { throw shortage }
            if dataSet.code != 0 { throw file.failure(SystemCallError(call: "write", code: dataSet.code)) }
            try file.finish(bytes: dataSet.bytes, sha256: dataSet.sha256)
        } catch {
            file.discard()
            return refused(Self.status(for: error), "\(error)")
        }
        return commit(file, instance)
    }

    private func commit(_ file: IncomingFile, _ instance: IncomingInstance) -> DIMSEStatus {
        do {
            let reception = try journal.commit(file, instance)
            stored += 1
            logger.debug(
                "instance received",
                metadata: [
                    "dicom.sop_instance_uid": "\(instance.sopInstanceUID)", "reception": "\(reception)",
                ])
            onReceived()
            return .success
        } catch {
            return refused(Self.status(for: error), "\(error)")
        }
    }

    private func refused(_ status: DIMSEStatus, _ reason: String) -> DIMSEStatus {
        logger.warning("instance refused", metadata: ["dicom.status": "\(status)", "reason": "\(reason)"])
        return status
    }

    // The refusals of the storage service class (PS3.4 table B.2-1): a peer may try again after A7xx. The others need
    // an operator first.
    private static func status(for error: SpoolError) -> DIMSEStatus {
        switch error {
        case .full, .tooLarge: .outOfResources
        case .held, .failing, .damaged, .notASpool, .link: .processingFailure
        }
    }

    private static func status(for error: JournalError) -> DIMSEStatus {
        switch error {
        case .full: .outOfResources
        case .failing, .rejected, .newerSchema, .foreignDatabase: .processingFailure
        }
    }
}
