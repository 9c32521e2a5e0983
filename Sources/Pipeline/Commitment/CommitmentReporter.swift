// SPDX-License-Identifier: Apache-2.0

package import Associations
package import DICOM
package import Logging
package import Persistence
package import Platform
import ServiceLifecycle
import Synchronization

/// The service that answers peers which ask whether the node keeps instances (PS3.4 annex J, as SCP).
///
/// A request is on disk before it is acknowledged. The service looks for its instances just before it reports. The report
/// goes over the association of the request while that is open, and over one that the node requests otherwise.
package final class CommitmentReporter: Service {
    /// How long the association of a request is kept in mind.
    private static let mostWaiting: Duration = .seconds(600)

    /// The association of a request, while the report may still go over it.
    private struct Origin: Sendable {
        let association: any ReportingAssociation
        let notBefore: Duration
    }

    private let caller: any CommitmentCaller
    private let peers: [String: Peer]
    private let journal: RetryingJournal
    private let clock: NodeClock
    private let limits: CommitmentLimits
    private let logger: Logger
    private let refusals: CommitmentRefusals
    private let stop: StopFlag
    private let somethingChanged = Signal()
    private let schedule: Mutex<CommitmentSchedule>
    private let calls = Mutex<[String: Interruption]>([:])
    private let origins = Mutex<[CommitmentReportID: Origin]>([:])

    /// - Parameters:
    ///   - caller: makes the associations.
    ///   - peers: the configured peers.
    ///   - journal: takes the states.
    ///   - clock: times the waits.
    ///   - limits: times and bounds.
    ///   - logger: receives a message for each change of state.
    ///   - refusals: records requests that the node does not take.
    package init(
        caller: any CommitmentCaller, peers: [Peer], journal: Journal, clock: NodeClock,
        limits: CommitmentLimits = CommitmentLimits(), logger: Logger, refusals: CommitmentRefusals
    ) {
        let stop = StopFlag()
        self.stop = stop
        self.caller = caller
        self.peers = Dictionary(peers.map { ($0.name, $0) }) { first, _ in first }
        self.journal = RetryingJournal(direct: journal, logger: logger) { stop.isSet }
        self.clock = clock
        self.limits = limits
        self.logger = logger
        self.refusals = refusals
        schedule = Mutex(CommitmentSchedule(backoff: limits.unreachable))
    }

    /// Runs until a graceful shutdown or a cancellation.
    package func run() async throws {
        let stop = stop
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                var perseverance = Perseverance("commitment reports", logger: logger) { stop.isSet }
                while !stop.isSet, !Task.isCancelled {
                    guard let (due, next) = await perseverance.round({ try await self.due() }) else { continue }
                    for (peer, reports) in due { group.addTask { await self.deliver(reports, to: peer) } }
                    await somethingChanged.wait(atMost: min(next ?? limits.polling, limits.polling))
                }
            }
            try? await DedicatedThread.run(name: "kontur-journal") { [refusals] in refusals.write(all: true) }
        } onGracefulShutdown: {
            self.stop.set()
            let calls = self.calls.withLock { Array($0.values) }
            for call in calls { call.stop() }
            self.somethingChanged.raise()
        }
    }

    // MARK: - Requests of peers

    /// Takes a request of a peer, on the thread of its association.
    ///
    /// - Returns: the status of the response. After Success the request is on disk.
    package func asked(
        _ request: CommitmentRequest, by peer: Peer, address: IPAddress, over association: any ReportingAssociation
    ) -> DIMSEStatus {
        if let (fault, status) = fault(in: request, of: peer) {
            refusals.note(fault, by: peer, address: address)
            return status
        }
        let event = AuditEvent(by: AuditActor(aeTitle: peer.aeTitle.text, address: "\(address)"))
        let items = request.references.map {
            CommitmentItem(sopClassUID: $0.sopClassUID, sopInstanceUID: $0.sopInstanceUID)
        }
        do {
            let time = try journal.direct.timeLived()
            let reception = try journal.direct.write { [limits] in
                try $0.commitmentReceived(
                    request.transactionUID, from: peer.name, items, mostOpen: limits.mostOpen, dueAfter: time,
                    giveUpAfter: time + limits.longest, event)
            }
            switch reception {
            case .received(let id), .open(let id):
                let notBefore = clock.monotonic() + limits.courtesy
                origins.withLock { $0[id] = Origin(association: association, notBefore: notBefore) }
                schedule.withLock { $0.called(by: peer.name) }
                logger.info(
                    "commitment requested",
                    metadata: ["peer.name": "\(peer.name)", "commitment.instances": "\(items.count)"])
                somethingChanged.raise()
                return .success
            case .duplicateTransactionUID:
                refusals.note(.duplicate, by: peer, address: address)
                return .duplicateTransactionUID
            case .tooMany:
                refusals.note(.tooMany, by: peer, address: address)
                return .resourceLimitation
            }
        } catch {
            logger.error(
                "could not take a request for commitment",
                metadata: ["peer.name": "\(peer.name)", "error": "\(Reason(error))"])
            if case JournalError.full = error { return .resourceLimitation }
            return .processingFailure
        }
    }

    private func fault(in request: CommitmentRequest, of peer: Peer) -> (CommitmentFault, DIMSEStatus)? {
        guard peer.may.contains(.store) else { return (.notAllowed, .notAuthorized) }
        guard request.references.count <= limits.mostAsked else { return (.tooLong, .resourceLimitation) }
        let isValid =
            !request.references.isEmpty && UID(request.transactionUID) != nil
            && request.references.allSatisfy { UID($0.sopClassUID) != nil && UID($0.sopInstanceUID) != nil }
        return isValid ? nil : (.invalid, .invalidArgumentValue)
    }

    // MARK: - Rounds

    /// The reports to deliver now, by peer, and the time until another one may be due.
    private func due() async throws -> ([(Peer?, [CommitmentReport])], Duration?) {
        let direct = journal.direct
        guard let lived = try await journal.retry({ try direct.timeLived() }) else { return ([], nil) }
        let now = clock.monotonic()
        // A report may have ended while its request was repeated.
        origins.withLock { origins in origins = origins.filter { now - $0.value.notBefore < Self.mostWaiting } }
        var found: [(Peer?, [CommitmentReport])] = []
        var next: Duration?
        for name in try await journal.read({ try $0.peersAwaitingReports() }) ?? [] {
            guard let open = try await journal.read({ try $0.openCommitmentReports(to: name) }) else { break }
            let waits = origins.withLock { $0 }.mapValues(\.notBefore)
            let due = open.filter { $0.dueAfter <= lived && waits[$0.id] ?? now <= now }
            if let first = open.compactMap({ waits[$0.id] }).filter({ $0 > now }).min() {
                next = min(next ?? first, first)
            }
            if let first = open.map(\.dueAfter).filter({ $0 > lived }).min() {
                next = min(next ?? .seconds(1 << 40), now + (first - lived))
            }
            if due.isEmpty { continue }
            switch schedule.withLock({ $0.turn(of: name, isFull: true, now: now) }) {
            case .now: found.append((peers[name], due))
            case .busy: continue
            case .waits(let until): next = min(next ?? until, until)
            }
        }
        return (found, next.map { $0 - now })
    }

    /// Delivers the reports of one peer, one after the other.
    private func deliver(_ reports: [CommitmentReport], to peer: Peer?) async {
        guard let name = reports.first?.peer else { return }
        let interruption = Interruption()
        calls.withLock { $0[name] = interruption }
        if stop.isSet { interruption.stop() }
        var isReached = false
        do {
            isReached = try await withTaskCancellationHandler {
                try await DedicatedThread.run(name: "kontur-commit") { [self] in
                    try call(peer, with: reports, interruption)
                }
            } onCancel: {
                interruption.stop()
            }
        } catch {
            logger.error(
                "could not report commitment", metadata: ["peer.name": "\(name)", "error": "\(Reason(error))"])
        }
        calls.withLock { $0[name] = nil }
        let (now, chance) = (clock.monotonic(), clock.chance())
        let hasEnded = interruption.isStopped
        schedule.withLock { $0.ended(name, isReached: isReached || hasEnded, now: now, chance: chance) }
        somethingChanged.raise()
    }

    /// - Returns: whether the peer was reached, and the journal took every report.
    /// - Throws: errors of the disk.
    private func call(_ peer: Peer?, with reports: [CommitmentReport], _ interruption: Interruption) throws -> Bool {
        var association: (any CommitmentAssociation)?
        defer { association?.release() }
        var isWhole = true
        for report in reports {
            if interruption.isStopped { return true }
            do {
                guard try deliver(report, to: peer, over: &association, interruption) else { return false }
            } catch  where !RetryingJournal.isTemporary(error) {
                isWhole = false
                try? giveUp(report, peer, "its outcome could not be recorded: \(Reason(error))")
            }
        }
        return isWhole
    }

    /// Looks for the instances of one request, and reports.
    ///
    /// - Parameters:
    ///   - report: the report.
    ///   - peer: the peer; `nil` if the configuration does not have it any more.
    ///   - association: the association that the node has requested for earlier reports, or requests for this one.
    ///   - interruption: ends waiting.
    /// - Returns: whether the next report may be tried.
    /// - Throws: errors of the journal.
    private func deliver(
        _ report: CommitmentReport, to peer: Peer?, over association: inout (any CommitmentAssociation)?,
        _ interruption: Interruption
    ) throws -> Bool {
        let origin = origins.withLock { $0.removeValue(forKey: report.id) }
        let result = try answer(report, peer)
        // The peer may have gone, and may still take the report on another association.
        if let status = origin?.association.report(result) {
            try end(report, status, peer)
            return true
        }
        guard let peer, peer.isCallable else {
            try giveUp(report, peer, "the configuration does not have a host and a port for the peer")
            return true
        }
        let status: DIMSEStatus
        do throws(AssociationError) {
            let open: any CommitmentAssociation
            if let association {
                open = association
            } else {
                open = try caller.connect(to: peer, .reports, interruption: interruption)
                association = open
            }
            status = try open.report(result)
        } catch {
            if interruption.isStopped { return true }
            try delay(report, peer, "\(error)")
            if case .noPresentationContext = error { return true }
            return false
        }
        try end(report, status, peer)
        return true
    }

    // MARK: - Answers

    /// Looks for the instances of a request, renews the keep times of those that the node has, and writes the answer.
    private func answer(_ report: CommitmentReport, _ peer: Peer?) throws -> CommitmentResult {
        var committed: [SOPReference] = []
        var failed: [CommitmentFailure] = []
        var last: Int?
        while true {
            let after = last
            let page = try journal.direct.read { view in
                try view.commitmentItems(of: report.id, after: after).map { position, item in
                    (position, item.reference, try view.keptInstance(item.sopInstanceUID))
                }
            }
            guard let end = page.last?.0 else { break }
            let answers = page.map { ($0.0, InstanceCheck.answer(about: $0.1, $0.2)) }
            try journal.direct.write { try $0.commitmentChecked(report.id, Dictionary(uniqueKeysWithValues: answers)) }
            let items = try journal.direct.read { try $0.commitmentItems(of: report.id, after: after) }
            for (_, item) in items {
                if item.failure == 0 {
                    committed.append(item.reference)
                } else {
                    let reason = item.failure.flatMap { UInt16(exactly: $0) }
                        .map { CommitmentFailureReason(rawValue: $0) }
                    failed.append(CommitmentFailure(item.reference, reason ?? .processingFailure))
                }
            }
            last = end
        }
        try journal.direct.write {
            try $0.commitmentReportAnswered(report.id, AuditEvent(by: peer?.actor ?? .node))
        }
        return CommitmentResult(transactionUID: report.transactionUID, committed: committed, failed: failed)
    }

    /// Writes down how the peer took a report.
    private func end(_ report: CommitmentReport, _ status: DIMSEStatus, _ peer: Peer?) throws {
        if status == .success || status.isWarning {
            try journal.direct.write {
                try $0.commitmentReported(report.id, AuditEvent(by: peer?.actor ?? .node))
            }
            logger.info("commitment reported", metadata: ["peer.name": "\(report.peer)"])
        } else if status.isFinalRefusal {
            try giveUp(report, peer, "the peer does not take the report (status \(status))")
        } else {
            try delay(report, peer, "the peer answered the report with status \(status)")
        }
    }

    /// Tries a report again later, or gives it up after its time.
    private func delay(_ report: CommitmentReport, _ peer: Peer?, _ reason: String) throws {
        let time = try journal.direct.timeLived()
        if time >= report.giveUpAfter { return try giveUp(report, peer, "not delivered in 72 hours: \(reason)") }
        let wait = limits.again.delay(failures: report.attempts + 1, chance: clock.chance())
        try journal.direct.write {
            try $0.commitmentReportDelayed(
                report.id, dueAfter: time + wait, AuditEvent(by: peer?.actor ?? .node, reason: reason))
        }
        logger.warning(
            "commitment to be reported again", metadata: ["peer.name": "\(report.peer)", "reason": "\(reason)"])
    }

    private func giveUp(_ report: CommitmentReport, _ peer: Peer?, _ reason: String) throws {
        try journal.direct.write {
            try $0.commitmentReportUndeliverable(report.id, AuditEvent(by: peer?.actor ?? .node, reason: reason))
        }
        logger.error(
            "commitment could not be reported", metadata: ["peer.name": "\(report.peer)", "reason": "\(reason)"])
    }
}

extension CommitmentItem {
    /// The instance as a commitment names it.
    var reference: SOPReference { SOPReference(sopClassUID: sopClassUID, sopInstanceUID: sopInstanceUID) }
}
