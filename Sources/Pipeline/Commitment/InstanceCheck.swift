// SPDX-License-Identifier: Apache-2.0

package import Associations
package import Persistence
import Platform

/// The truth about an instance that a peer asks for: whether the journal has it with its SOP class, and its file is on disk.
package enum InstanceCheck {
    /// The reason why the node does not commit itself to keep an instance; `nil` if it does.
    ///
    /// - Parameters:
    ///   - reference: the instance as the peer names it.
    ///   - kept: the newest instance with this SOP Instance UID; `nil` if the node does not have any.
    ///   - size: the size of its file; `nil` if the file is missing or cannot be looked at.
    /// - Returns: the Failure Reason.
    package static func failure(
        of reference: SOPReference, _ kept: KeptInstance?, size: Int64?
    ) -> CommitmentFailureReason? {
        guard let kept else { return .noSuchObjectInstance }
        if kept.sopClassUID != reference.sopClassUID { return .classInstanceConflict }
        // A quarantined data set cannot be read, or is not the instance that its command named.
        guard kept.isDurable, kept.state != .quarantined, size == kept.size else { return .processingFailure }
        return nil
    }

    /// The answer about an instance; looks at its file.
    static func answer(about reference: SOPReference, _ kept: KeptInstance?) -> CommitmentAnswer {
        let size = kept.flatMap { FileSystem.size($0.path) }
        if let reason = failure(of: reference, kept, size: size) { return .failed(reason.rawValue) }
        return kept.map { .kept($0) } ?? .failed(CommitmentFailureReason.noSuchObjectInstance.rawValue)
    }
}
