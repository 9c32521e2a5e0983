// SPDX-License-Identifier: Apache-2.0
//
// The field `commitment` of the messages between the node and its children: `CAssociations.h`.

extension MessageWriter {
    /// Appends a request, whose list of failures is empty.
    mutating func commitment(_ request: CommitmentRequest) {
        text(request.transactionUID)
        references(request.references)
        integer(UInt32(0))
    }

    /// Appends a result.
    mutating func commitment(_ result: CommitmentResult) {
        text(result.transactionUID)
        references(result.committed)
        integer(UInt32(result.failed.count))
        for failure in result.failed {
            reference(failure.reference)
            integer(failure.reason.rawValue)
        }
    }

    private mutating func references(_ references: [SOPReference]) {
        integer(UInt32(references.count))
        for each in references { reference(each) }
    }

    private mutating func reference(_ reference: SOPReference) {
        text(reference.sopClassUID)
        text(reference.sopInstanceUID)
    }
}

extension MessageReader {
    /// Reads the request of a peer.
    ///
    /// - Throws: an error also if the field holds failures, which a request cannot have.
    mutating func commitmentRequest() throws(MalformedMessage) -> CommitmentRequest {
        let found = try commitmentResult()
        guard found.failed.isEmpty else { throw MalformedMessage(kind: kind) }
        return CommitmentRequest(transactionUID: found.transactionUID, references: found.committed)
    }

    /// Reads the result of a peer.
    mutating func commitmentResult() throws(MalformedMessage) -> CommitmentResult {
        let transaction = try text()
        var committed: [SOPReference] = []
        for _ in 0..<(try integer(UInt32.self)) { committed.append(try nextReference()) }
        var failed: [CommitmentFailure] = []
        for _ in 0..<(try integer(UInt32.self)) {
            let reference = try nextReference()
            failed.append(CommitmentFailure(reference, CommitmentFailureReason(rawValue: try integer())))
        }
        return CommitmentResult(transactionUID: transaction, committed: committed, failed: failed)
    }

    private mutating func nextReference() throws(MalformedMessage) -> SOPReference {
        SOPReference(sopClassUID: try text(), sopInstanceUID: try text())
    }
}
