// SPDX-License-Identifier: Apache-2.0

package import Associations
package import DICOM
package import Logging
package import Persistence
package import Platform
import Synchronization

/// The reason why a caller did not get an association, or lost it through no fault of its own.
package enum CallerFault: Sendable {
    /// The answer of the negotiation.
    case rejected(AssociationRejection)
    /// The caller is a peer, but a place or room is missing.
    case refused(AdmissionRefusal)
    /// The resolver has not answered for the host name of a peer with the caller's AE title.
    case notKnownYet
    /// The request did not become whole.
    case faulty(RequestFault)
    /// The request is not well-formed, for this reason.
    case malformed(String)
    /// The caller has the AE title and the address of a peer, and is not that peer by its certificate.
    case certificate(CertificateRefusal)
    /// The TLS handshake failed, for this reason in words of this side.
    case handshake(String)
    /// No receiver process waits, and none could be started.
    case noReceiver
    /// The receiver process of the association ended, or had to be killed.
    case lost(ReceiverFault)

    /// The kind of the reports about lost associations.
    static let lostKind = "the receiver process failed"

    /// What the caller is sent.
    var rejection: AssociationRejection {
        switch self {
        case .rejected(let rejection): rejection
        case .refused: .localLimitExceeded
        case .certificate: .callingAETitleNotRecognized
        case .notKnownYet, .noReceiver, .faulty, .malformed, .handshake, .lost: .temporaryCongestion
        }
    }

    /// The reason without figures: reports of one kind are counted together.
    var kind: String {
        switch self {
        case .rejected(let rejection): "\(rejection)"
        case .refused(.stopping): "the node is stopping"
        case .refused(.allPlacesTaken): "all places are taken"
        case .refused(.peerPlacesTaken): "all places of one peer are taken"
        case .refused(.crowded): "too many TLS handshakes"
        case .refused(.noRoom): "no room on the spool's disk"
        case .notKnownYet: "the resolver did not answer"
        case .faulty(.notARequest): "not an A-ASSOCIATE-RQ"
        case .faulty(.tooLong): "A-ASSOCIATE-RQ too long"
        case .faulty(.tooLate): "A-ASSOCIATE-RQ too late"
        case .faulty(.notTLS): "not a TLS handshake"
        case .malformed: "malformed A-ASSOCIATE-RQ"
        case .certificate(let refusal): "\(refusal)"
        case .handshake(let cause): "the TLS handshake failed: \(cause)"
        case .noReceiver: "no receiver process"
        case .lost: Self.lostKind
        }
    }

    var description: String {
        switch self {
        case .rejected(let rejection): "\(rejection)"
        case .refused(let refusal): "\(AssociationRejection.localLimitExceeded): \(refusal)"
        case .notKnownYet:
            "\(AssociationRejection.temporaryCongestion): the resolver has not answered for the host name of the peer "
                + "with this AE title; give the peer's addresses with 'from'"
        case .faulty(let fault): "\(fault)"
        case .malformed(let cause): "the association was aborted: by us: \(cause)"
        case .certificate(let refusal): "\(AssociationRejection.callingAETitleNotRecognized): \(refusal)"
        case .handshake: kind
        case .noReceiver:
            "\(AssociationRejection.temporaryCongestion): no receiver process could be started; the log has the cause"
        case .lost(let fault): "\(fault)"
        }
    }
}

/// Decides which reports about callers are written in full, and counts the others.
///
/// Any machine can cause thousands of reports per second. These must not fill the disk, and one machine's reports must
/// not hide those of another. Within a minute, a kind of report is written ten times, and twice for one caller. After
/// the minute, one summary has the number of the others.
///
/// This type is a value: it does not write anything.
package struct ReportLimiter: Sendable {
    package static let window: Duration = .seconds(60)
    package static let mostOfKind = 10
    package static let mostOfCaller = 2
    /// Callers that are counted one by one in a window.
    private static let mostCallers = 1000

    /// The number of reports of one kind that were not written.
    package struct Summary: Sendable, Equatable {
        package let kind: String
        package let count: Int
        /// Number of callers within the window, at most 1,000.
        package let callers: Int
        package let duration: Duration
    }

    private struct Window: Sendable {
        let start: Duration
        var written = 0
        var counted = 0
        var callers: [IPAddress: Int] = [:]
    }

    private var windows: [String: Window] = [:]

    /// A limiter that has not counted anything.
    package init() {}

    /// Counts a report.
    ///
    /// - Parameters:
    ///   - kind: one of a fixed number of texts.
    ///   - address: the caller's address.
    ///   - now: a reading of the monotonic clock.
    /// - Returns: whether the report is to be written in full.
    package mutating func admit(_ kind: String, from address: IPAddress, now: Duration) -> Bool {
        var window = windows[kind] ?? Window(start: now)
        defer { windows[kind] = window }
        let ofCaller = window.callers[address]
        if ofCaller != nil || window.callers.count < Self.mostCallers { window.callers[address, default: 0] += 1 }
        guard window.written < Self.mostOfKind, ofCaller ?? 0 < Self.mostOfCaller else {
            window.counted += 1
            return false
        }
        window.written += 1
        return true
    }

    /// Ends the windows whose time is over.
    ///
    /// - Parameters:
    ///   - now: a reading of the monotonic clock.
    ///   - all: whether all windows end, because the node stops.
    /// - Returns: a summary of each window in which reports were only counted.
    package mutating func summaries(now: Duration, all: Bool = false) -> [Summary] {
        let over = windows.filter { all || now - $0.value.start >= Self.window }
        for kind in over.keys { windows[kind] = nil }
        return over.filter { $0.value.counted > 0 }.sorted { $0.key < $1.key }.map { kind, window in
            Summary(
                kind: kind, count: window.counted, callers: window.callers.count,
                duration: now - window.start)
        }
    }
}

/// Writes reports about callers that did not get an association, or lost it, into the log and the audit trail, at a bounded rate.
///
/// `note` never blocks: the accepting thread calls it. One task writes.
package final class CallerReports: Sendable {
    private static let interval: Duration = .seconds(5)
    /// Records that wait for a disk that does not work; older ones go first.
    private static let mostWaiting = 100

    private struct Report: Sendable {
        let fault: CallerFault
        let actor: AuditActor
    }

    private struct State: Sendable {
        var limiter = ReportLimiter()
        var reports: [Report] = []
        /// Records that could not be written yet.
        var waiting: [Record] = []
        var isStopped = false
    }

    /// One record of the trail.
    private struct Record: Sendable {
        let event: AuditEvent
        let count: Int?
        let isLost: Bool
    }

    private let journal: Journal
    private let clock: NodeClock
    private let logger: Logger
    private let signal = Signal()
    private let state = Mutex(State())

    package init(journal: Journal, clock: NodeClock, logger: Logger) {
        self.journal = journal
        self.clock = clock
        self.logger = logger
    }

    /// Counts a caller that did not get an association, and has it reported if the rate allows.
    ///
    /// - Parameters:
    ///   - fault: the reason.
    ///   - address: the caller's address.
    ///   - title: the caller's AE title, as far as it is known.
    ///   - certificate: the SHA-256 of the certificate that the caller has shown.
    package func note(
        _ fault: CallerFault, from address: IPAddress, _ title: AETitle?, certificate: String? = nil
    ) {
        let now = clock.monotonic()
        let isAdmitted = state.withLock { state in
            guard state.limiter.admit(fault.kind, from: address, now: now) else { return false }
            state.reports.append(
                Report(
                    fault: fault,
                    actor: AuditActor(aeTitle: title?.text, address: "\(address)", certificate: certificate)))
            return true
        }
        if isAdmitted { signal.raise() }
    }

    /// Writes reports until `stop` or the cancellation of the task.
    package func run() async {
        while !state.withLock({ $0.isStopped }), !Task.isCancelled {
            await write(all: false)
            await signal.wait(atMost: Self.interval)
        }
    }

    /// Ends `run`.
    package func stop() {
        state.withLock { $0.isStopped = true }
        signal.raise()
    }

    /// Writes everything that was noted; with `all`, also the numbers of the windows that are not over.
    package func write(all: Bool) async {
        let now = clock.monotonic()
        let (reports, summaries) = state.withLock { state in
            defer { state.reports = [] }
            return (state.reports, state.limiter.summaries(now: now, all: all))
        }
        var records: [Record] = []
        for report in reports {
            let isLost = report.fault.kind == CallerFault.lostKind
            logger.warning(
                isLost ? "association lost" : "association rejected",
                metadata: [
                    "peer.address": "\(report.actor.address ?? "")", "peer.ae_title": "\(report.actor.aeTitle ?? "")",
                    "reason": "\(report.fault.description)",
                ])
            records.append(
                Record(
                    event: AuditEvent(by: report.actor, reason: report.fault.description), count: nil, isLost: isLost))
        }
        for summary in summaries {
            let seconds = summary.duration.components.seconds
            let isLost = summary.kind == CallerFault.lostKind
            logger.warning(
                isLost ? "more associations lost" : "more associations rejected",
                metadata: [
                    "reason": "\(summary.kind)", "count": "\(summary.count)", "callers": "\(summary.callers)",
                    "seconds": "\(seconds)",
                ])
            let reason = "\(summary.count) more within \(seconds) s, from \(summary.callers) callers: \(summary.kind)"
            records.append(Record(event: AuditEvent(reason: reason), count: summary.count, isLost: isLost))
        }
        await record(records)
    }

    private func record(_ records: [Record]) async {
        let waiting = state.withLock { state in
            state.waiting = (state.waiting + records).suffix(Self.mostWaiting)
            return state.waiting
        }
        if waiting.isEmpty { return }
        do {
            let journal = journal
            try await DedicatedThread.run(name: "kontur-journal") {
                try journal.write { transaction in
                    for record in waiting {
                        if record.isLost {
                            try transaction.associationLost(record.event, count: record.count)
                        } else {
                            try transaction.associationRejected(record.event, count: record.count)
                        }
                    }
                }
            }
            state.withLock { $0.waiting = [] }
        } catch {
            // The next round tries again.
            if !records.isEmpty { logger.error("could not record rejections", metadata: ["error": "\(error)"]) }
        }
    }
}
