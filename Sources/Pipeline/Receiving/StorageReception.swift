// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Logging
import Persistence

/// Serves one association on its thread: stores instances, and answers other requests.
///
/// It answers Success only after the journal has made the instance durable. It reads a data set to its end even if the
/// instance cannot be stored, because the peer waits for the answer only after it has sent everything.
final class StorageReception {
    private let association: AcceptedAssociation
    private let facts: AssociationFacts
    private let spool: Spool
    private let journal: Journal
    private let clock: NodeClock
    private let logger: Logger
    private let onReceived: () -> Void
    /// Instances acknowledged with Success.
    private(set) var stored = 0

    init(
        association: AcceptedAssociation, id: UUID, spool: Spool, journal: Journal, clock: NodeClock, logger: Logger,
        onReceived: @escaping () -> Void
    ) {
        self.association = association
        self.spool = spool
        self.journal = journal
        self.clock = clock
        self.logger = logger
        self.onReceived = onReceived
        facts = AssociationFacts(
            id: id, callingAETitle: association.peer.aeTitle.text, calledAETitle: association.calledAETitle.text,
            address: "\(association.address)", peer: association.peer.name)
    }

    /// Serves until the peer releases the association.
    ///
    /// - Throws: the error that ended the association.
    func run() throws(AssociationError) {
        while let request = try association.nextRequest() {
            switch request {
            case .store(let request):
                let status = try store(request)
                try association.respond(to: request, status)
            case .other(let request):
                if request.hasDataSet { try association.receiveDataSet { _ in } }
                try association.respond(to: request)
            }
        }
    }

    private func store(_ request: StoreRequest) throws(AssociationError) -> DIMSEStatus {
        guard request.hasDataSet else { return .cannotUnderstand }
        guard let sopClass = request.sopClassUID, let sopInstance = request.sopInstanceUID else {
            try association.receiveDataSet { _ in }
            return refused(.invalidSOPInstance, "the command lacks a valid SOP class UID or SOP instance UID")
        }
        guard request.fitsContext else {
            try association.receiveDataSet { _ in }
            return refused(.sopClassNotSupported, "the SOP class differs from that of the presentation context")
        }
        let instance = IncomingInstance(
            sopClassUID: sopClass, sopInstanceUID: sopInstance, transferSyntaxUID: request.transferSyntaxUID,
            association: facts)
        var incoming = begin(instance)
        try association.receiveDataSet { bytes in
            guard case .success(let file) = incoming else { return }
            do throws(SpoolError) {
                try file.append(bytes)
            } catch {
                file.discard()
                incoming = .failure(error)
            }
        }
        switch incoming {
        case .success(let file): return commit(file, instance)
        case .failure(let error): return refused(Self.status(for: error), "\(error)")
        }
    }

    /// Opens the instance's file and writes its Part 10 header.
    private func begin(_ instance: IncomingInstance) -> Result<IncomingFile, SpoolError> {
        let meta = FileMeta(
            sopClassUID: instance.sopClassUID, sopInstanceUID: instance.sopInstanceUID,
            transferSyntaxUID: instance.transferSyntaxUID, sourceAETitle: association.peer.aeTitle)
        return Result { () throws(SpoolError) in
            let file = try spool.incomingFile(now: clock.wall())
            let written = meta.encoded.withUnsafeBytes { bytes in
                Result { () throws(SpoolError) in try file.writeHeader(bytes) }
            }
            if case .failure(let error) = written {
                file.discard()
                throw error
            }
            return file
        }
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
