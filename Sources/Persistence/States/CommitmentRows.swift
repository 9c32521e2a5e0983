// SPDX-License-Identifier: Apache-2.0
//
// Rows of storage commitment (PS3.4 annex J): deliveries that wait for it, requests to peers, and requests of peers with
// the reports that answer them. Times lived are those of ``Journal/timeLived()``.

import Foundation

/// A delivery that is sent, and that a peer has not committed itself to.
public struct UncommittedDelivery: Sendable, Equatable {
    /// Number of the delivery.
    public let id: DeliveryID
    /// Name of the peer, as the configuration calls it.
    public let peer: String
    /// SOP Class UID of the object.
    public let sopClassUID: String
    /// SOP Instance UID of the object.
    public let sopInstanceUID: String
    /// Time lived after which the next failure gives the delivery up.
    public let commitBy: Duration
    /// Requests in a row that did not lead to an answer about the object.
    public let unanswered: Int
    /// How often the peer said that it does not have the object.
    public let losses: Int
    /// The newest request about the object; `nil` while a request has to be made.
    public let request: CommitmentRequestID?
}

/// A request for storage commitment that the node made to a peer.
public struct StoredCommitmentRequest: Sendable, Equatable {
    /// Number of the request.
    public let id: CommitmentRequestID
    /// Transaction UID.
    public let transactionUID: String
    /// Name of the peer, as the configuration calls it.
    public let peer: String
    /// State of the request.
    public let state: CommitmentRequestState
    /// The deliveries that the request is about and that still wait for the peer's commitment.
    ///
    /// An object that was sent again after the request is not among them.
    public let deliveries: [UncommittedDelivery]
}

/// One instance of a peer's request for storage commitment.
public struct CommitmentItem: Sendable, Equatable {
    /// Referenced SOP Class UID.
    public let sopClassUID: String
    /// Referenced SOP Instance UID.
    public let sopInstanceUID: String
    /// 0 if the node keeps the instance, otherwise Failure Reason (0008,1197); `nil` before the first answer.
    public let failure: Int?

    /// Names an instance that a peer asks about.
    public init(sopClassUID: String, sopInstanceUID: String) {
        self.init(sopClassUID: sopClassUID, sopInstanceUID: sopInstanceUID, failure: nil)
    }

    init(sopClassUID: String, sopInstanceUID: String, failure: Int?) {
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
        self.failure = failure
    }
}

/// A peer's request for storage commitment, which a report answers.
public struct CommitmentReport: Sendable, Equatable {
    /// Number of the report.
    public let id: CommitmentReportID
    /// Transaction UID of the request.
    public let transactionUID: String
    /// Name of the peer, as the configuration calls it.
    public let peer: String
    /// State of the report.
    public let state: CommitmentReportState
    /// Number of attempts to deliver the report.
    public let attempts: Int
    /// Time lived before which the report is not tried again.
    public let dueAfter: Duration
    /// Time lived after which the next failure gives the report up.
    public let giveUpAfter: Duration
}

/// The node's reception of a peer's request for storage commitment.
public enum CommitmentReception: Sendable, Equatable {
    /// The request has a row, and a report will answer it.
    case received(CommitmentReportID)
    /// The peer made the same request before, and the report is still open.
    case open(CommitmentReportID)
    /// The peer used the Transaction UID for another request before.
    case duplicateTransactionUID
    /// The peer has as many open requests as it may have.
    case tooMany
}

/// An instance as the journal has it, for a peer that asks for commitment.
public struct KeptInstance: Sendable, Equatable {
    /// Number of the instance.
    public let id: InstanceID
    /// SOP Class UID.
    public let sopClassUID: String
    /// State of the instance.
    public let state: InstanceState
    /// Absolute path of the file.
    public let path: String
    /// Size of the file in bytes.
    public let size: Int64
    /// Whether the file was on disk when the instance was acknowledged, or when the node started.
    public let isDurable: Bool

    /// Describes an instance.
    package init(
        id: InstanceID, sopClassUID: String, state: InstanceState, path: String, size: Int64, isDurable: Bool
    ) {
        self.id = id
        self.sopClassUID = sopClassUID
        self.state = state
        self.path = path
        self.size = size
        self.isDurable = isDurable
    }

    /// Whether both are the same file of the same row; an instance may be indexed in between.
    func isSameFile(as other: KeptInstance) -> Bool { id == other.id && path == other.path && size == other.size }
}

/// The answer about one instance of a peer's request.
public enum CommitmentAnswer: Sendable, Equatable {
    /// The node keeps the instance of this row, as the row was when its file was looked at.
    case kept(KeptInstance)
    /// Failure Reason (0008,1197).
    case failed(UInt16)
}

extension Duration {
    /// Whole microseconds, as rows store a time lived.
    var microseconds: Int64 {
        let (seconds, attoseconds) = components
        let (value, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        return overflow ? (seconds < 0 ? .min / 4 : .max / 4) : value + attoseconds / 1_000_000_000_000
    }
}

extension Journal {
    /// The time that the node has lived, from any origin: a clock that nobody can set, and that goes on across restarts.
    ///
    /// A process that is not the node gets the time of the last note.
    public func timeLived() throws -> Duration {
        let reading = timekeeper?.read()
        let noted = try read { try $0.nodeTime() }
        guard let noted else { return .microseconds(date.microseconds) }
        return .microseconds(reading.map { noted.advanced(to: $0, isStart: false).time.lived } ?? noted.lived)
    }
}
