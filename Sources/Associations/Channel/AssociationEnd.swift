// SPDX-License-Identifier: Apache-2.0

/// How an association of a child ended: the message `ended`.
package struct AssociationEnd: Equatable, Sendable {
    /// The side that ended the association, and by which means.
    package enum How: UInt8, Sendable {
        case released = 0
        case rejected = 1
        case abortedByPeer = 2
        case abortedByChild = 3
        case lost = 4
    }

    /// The side that ended the association, and by which means.
    package let how: How
    /// The first field of A-ASSOCIATE-RJ; 0 otherwise.
    package let result: UInt8
    /// The source in A-ASSOCIATE-RJ or A-ABORT; 0 otherwise.
    package let source: UInt8
    /// The reason in A-ASSOCIATE-RJ or A-ABORT; 0 otherwise.
    package let reason: UInt8
    /// The child's words, without anything that the peer sent.
    package let cause: String

    package init(_ how: How, result: UInt8 = 0, source: UInt8 = 0, reason: UInt8 = 0, cause: String = "") {
        self.how = how
        self.result = result
        self.source = source
        self.reason = reason
        self.cause = cause
    }
}

extension MessageReader {
    /// Reads the fields of `ended`.
    mutating func associationEnd() throws(MalformedMessage) -> AssociationEnd {
        guard let how = AssociationEnd.How(rawValue: try integer()) else { throw MalformedMessage(kind: kind) }
        return AssociationEnd(
            how, result: try integer(), source: try integer(), reason: try integer(), cause: try text())
    }
}
