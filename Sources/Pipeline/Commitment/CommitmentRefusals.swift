// SPDX-License-Identifier: Apache-2.0

package import DICOM
package import Logging
package import Persistence
package import Platform
import Synchronization

/// The reason why the node does not take a peer's message about storage commitment.
package enum CommitmentFault: String, Sendable, CaseIterable {
    case unknownTransaction = "a result with a Transaction UID that the node did not use for this peer"
    case invalid = "a request without instances, or with a UID that is not one"
    case notAllowed = "a request of a peer that may not store"
    case tooLong = "a request about too many instances"
    case tooMany = "a request of a peer that has too many open ones"
    case duplicate = "a request about other instances with a Transaction UID that was used before"
}

/// Writes refused messages of peers about storage commitment into log and trail, at a bounded rate.
package final class CommitmentRefusals: Sendable {
    private let journal: Journal
    private let clock: NodeClock
    private let logger: Logger
    private let limiter = Mutex(ReportLimiter())

    /// - Parameters:
    ///   - journal: takes the records.
    ///   - clock: times the bounds.
    ///   - logger: receives a message for each record.
    package init(journal: Journal, clock: NodeClock, logger: Logger) {
        self.journal = journal
        self.clock = clock
        self.logger = logger
    }

    /// Counts a refused message, and writes it down if the rate allows.
    ///
    /// Blocks on the journal. A record that cannot be written is left out: the log has it.
    package func note(_ fault: CommitmentFault, by peer: Peer, address: IPAddress) {
        let now = clock.monotonic()
        let (isAdmitted, summaries) = limiter.withLock { limiter in
            (limiter.admit(fault.rawValue, from: address, now: now), limiter.summaries(now: now))
        }
        write(summaries)
        guard isAdmitted else { return }
        logger.warning(
            "commitment refused",
            metadata: [
                "peer.name": "\(peer.name)", "peer.address": "\(address)", "reason": "\(fault.rawValue)",
            ])
        let event = AuditEvent(
            by: AuditActor(aeTitle: peer.aeTitle.text, address: "\(address)"), reason: fault.rawValue)
        _ = try? journal.write { try $0.commitmentRefused(event) }
    }

    /// Writes the numbers of messages that were only counted; with `all`, also those of windows that are not over.
    package func write(all: Bool = false) {
        let now = clock.monotonic()
        write(limiter.withLock { $0.summaries(now: now, all: all) })
    }

    private func write(_ summaries: [ReportLimiter.Summary]) {
        for summary in summaries {
            let reason = "\(summary.count) more within \(summary.duration.components.seconds) s: \(summary.kind)"
            logger.warning("more commitments refused", metadata: ["reason": "\(reason)"])
            _ = try? journal.write { try $0.commitmentRefused(AuditEvent(reason: reason), count: summary.count) }
        }
    }
}
