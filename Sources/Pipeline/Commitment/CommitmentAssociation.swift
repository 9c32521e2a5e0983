// SPDX-License-Identifier: Apache-2.0
//
// The doors between storage commitment and the associations that carry it. Every call blocks its thread.

package import Associations
package import DICOM
package import Platform

/// Takes the commitment requests and results of peers that have requested an association.
package protocol StorageCommitmentReceiver: Sendable {
    /// Takes an N-ACTION of a peer.
    ///
    /// - Parameters:
    ///   - request: the request.
    ///   - peer: the calling peer.
    ///   - address: the address that the peer calls from.
    ///   - association: the association, on which the report is sent if it is still open then.
    /// - Returns: the status of the response. Success promises a report.
    func asked(
        _ request: CommitmentRequest, by peer: Peer, address: IPAddress, over association: any ReportingAssociation
    ) -> DIMSEStatus

    /// Takes an N-EVENT-REPORT of a peer.
    ///
    /// - Parameters:
    ///   - result: the result.
    ///   - peer: the calling peer.
    ///   - address: the address that the peer calls from.
    /// - Returns: the status of the response.
    func told(_ result: CommitmentResult, by peer: Peer, address: IPAddress) -> DIMSEStatus
}

/// An association that a peer has requested, and over which the node may send an N-EVENT-REPORT.
package protocol ReportingAssociation: AnyObject, Sendable {
    /// Sends a report, from any thread.
    ///
    /// - Returns: the status of the peer's response; `nil` if the association is over, or ends before the response.
    func report(_ result: CommitmentResult) -> DIMSEStatus?
}

extension CommitmentReports: ReportingAssociation {}

/// The node's side of storage commitment on an association that it requests.
package enum CommitmentRole: Sendable, Hashable {
    /// The node asks: SCU of the service.
    case asks
    /// The node reports: SCP of the service.
    case reports
}

/// Makes associations for storage commitment.
package protocol CommitmentCaller: Sendable {
    /// Requests an association that carries storage commitment alone.
    func connect(
        to peer: Peer, _ role: CommitmentRole, interruption: Interruption
    ) throws(AssociationError) -> any CommitmentAssociation
}

/// An association that the node has requested for storage commitment.
package protocol CommitmentAssociation {
    /// Sends an N-ACTION, and returns the status of the response.
    func ask(_ request: CommitmentRequest) throws(AssociationError) -> DIMSEStatus
    /// Sends an N-EVENT-REPORT, and returns the status of the response.
    func report(_ result: CommitmentResult) throws(AssociationError) -> DIMSEStatus
    /// Waits for an N-EVENT-REPORT of the peer; `nil` if none comes within the time.
    func told(within limit: Duration) throws(AssociationError) -> CommitmentResult?
    /// Answers the N-EVENT-REPORT that came last.
    func answer(_ status: DIMSEStatus) throws(AssociationError)
    /// Ends the association.
    func release()
}

extension DIMSEStatus {
    // Statuses of DIMSE-N (PS3.7 annex C).
    /// 0115: an argument value is outside its range, or is not known (C.5.8).
    static let invalidArgumentValue = DIMSEStatus(rawValue: 0x0115)
    /// 0124: the peer may not do this (C.5.20).
    static let notAuthorized = DIMSEStatus(rawValue: 0x0124)
    /// 0131: another request has the Transaction UID (PS3.3 C.14.1.1).
    static let duplicateTransactionUID = DIMSEStatus(rawValue: 0x0131)
    /// 0213: a limit of the performer (C.5.18).
    static let resourceLimitation = DIMSEStatus(rawValue: 0x0213)

    /// Whether the peer will never take the request, however often it comes: the SOP class, the event or action type, the
    /// argument or the instance is not known (PS3.7 C.5), or the peer does not allow it.
    var isFinalRefusal: Bool {
        [0x0112, 0x0113, 0x0114, 0x0115, 0x0117, 0x0118, 0x0119, 0x0122, 0x0123, 0x0124, 0x0211].contains(rawValue)
    }
}
