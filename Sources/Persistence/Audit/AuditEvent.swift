// SPDX-License-Identifier: Apache-2.0

/// The caller's part of an audit record: who caused a state change, by which means, and why.
///
/// The arrow adds its own name and the UIDs of the study, series and SOP instances that it changes. An event cannot
/// hold a patient's name, identifier or birth date, or a description. It holds only names of nodes, users, routes and
/// recipes.
public struct AuditEvent: Sendable, Equatable {
    /// The peer, user or node that caused the event.
    public var by: AuditActor
    /// The route, configuration, recipe and weights that were used.
    public var how: AuditMethod
    /// The reason in words: printable ASCII, at most 400 characters.
    ///
    /// The reason must not contain patient data or free text of a study.
    public var reason: String?

    /// Makes an event; `reason` is cut to 400 characters, and each character outside printable ASCII becomes `?`.
    public init(by: AuditActor = .node, how: AuditMethod = AuditMethod(), reason: String? = nil) {
        self.by = by
        self.how = how
        self.reason = reason.map(Self.clean)
    }

    /// Replaces each character outside printable ASCII with `?` and keeps the first 400 characters.
    static func clean(_ text: String) -> String {
        if text.utf8.count <= 400, text.utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) { return text }
        var kept = ""
        for scalar in text.unicodeScalars.prefix(400) {
            kept.unicodeScalars.append((0x20..<0x7F).contains(scalar.value) ? scalar : "?")
        }
        return kept
    }

    /// Every event of the trail; `docs/audit.md` describes each one and names the command that causes it.
    public enum Name: String, Codable, CaseIterable, Sendable {
        case nodeStarted, nodeStopped, configurationUsed
        case associationRejected
        /// An association ended because the process that spoke with the peer died or was killed.
        case associationLost
        /// One commit acknowledged these instances of one association.
        case instancesReceived
        /// The file of an instance was missing or different, so the instance was never acknowledged.
        case instancesNeverAcknowledged
        /// The file of an acknowledged instance is missing or was changed.
        case instancesLost
        /// Whole instances, or objects of Kontur, that lost their rows have a row again.
        case instancesAdopted, objectsAdopted
        /// A file without a row that is not a whole instance went to `quarantine/`.
        case fileQuarantined
        /// The database was lost, or is older than the files beside it.
        case databaseBehind
        /// An operator copied the spool.
        case spoolCopied
        case instancesIndexed, instanceOwn, instanceNotAnImage, instanceQuarantined
        /// Instances came again with the same images and other attributes.
        case instancesCorrected
        /// Instances came again in another series, and left theirs.
        case instancesMoved
        case seriesClosed, seriesReopened
        /// Another series has one of its SOP Instance UIDs with another image.
        case seriesInDoubt
        /// The series cannot be segmented as it is, and waits for another instance or for a person.
        case seriesSetAside
        /// A series that was set aside is looked at again.
        case seriesResumed
        /// An operator accepted a series that was set aside or in doubt, or decided that it is never segmented.
        case seriesReleased, seriesDropped
        case stackRouted, stackUnmatched, stackUndetermined, stackUnfit
        case jobQueued, jobRunning, jobDone, jobQueuedAgain, jobRescued, jobDead, jobSuperseded, jobRevived
        case deliverySent, deliveryPendingAgain, deliveryDead, deliverySuperseded, deliveryRevived
        /// An operator decided about a result that was held back because its confidence was low.
        case deliveryReleased, deliveryDropped
        /// The node asks a peer to commit itself to keep objects; the peer has answered; the peer did not take or answer
        /// the request in time.
        case commitmentAsked, commitmentAnswered, commitmentExpired
        /// The peer committed itself to keep the object, or does not have it.
        case deliveryCommitted, deliveryLost
        /// The configuration does not ask the peer for commitment any more, so the delivery is closed.
        case commitmentWaived
        /// A peer asks whether the node keeps instances; the answer is known; the peer has the report; the report is
        /// tried again; the report is given up.
        case commitmentReceived, commitmentReportAnswered, commitmentReported, commitmentReportDelayed
        case commitmentReportUndeliverable
        /// The node did not take a peer's request for commitment, or a result that it had not asked for.
        case commitmentRefused
        case filesDeleted, subjectErased
        /// The wall clock jumped; deletion is held until a person confirms the clock, or the node has run for a day.
        case clockJumped, clockConfirmed, clockHoldEnded
        case auditExported, auditSegmentDropped
        case modelInstalled, modelRemoved

        /// The value of the field `outcome` for this event.
        var outcome: String {
            switch self {
            case .instanceQuarantined, .jobDead, .deliveryDead, .associationRejected, .associationLost,
                .instancesNeverAcknowledged, .instancesLost, .fileQuarantined, .databaseBehind, .seriesSetAside,
                .clockJumped,
                .commitmentReportUndeliverable, .commitmentRefused:
                "failure"
            case .jobQueuedAgain, .deliveryPendingAgain, .deliveryLost, .commitmentExpired, .commitmentReportDelayed:
                "retry"
            default: "success"
            }
        }
    }
}

/// The cause of an event: a peer, a user of the command line, or the node itself.
public struct AuditActor: Sendable, Equatable, Codable {
    /// AE title of the peer that called the node or that the node called.
    public var aeTitle: String?
    /// IP address or host name of that peer.
    public var address: String?
    /// SHA-256 of the certificate that the peer showed; `nil` on a plain connection.
    public var certificate: String?
    /// Login name of the operator.
    public var user: String?

    /// Makes an actor; each text is cut to 400 characters of printable ASCII.
    public init(aeTitle: String? = nil, address: String? = nil, certificate: String? = nil, user: String? = nil) {
        self.aeTitle = aeTitle.map(AuditEvent.clean)
        self.address = address.map(AuditEvent.clean)
        self.certificate = certificate.map(AuditEvent.clean)
        self.user = user.map(AuditEvent.clean)
    }

    /// The node itself.
    public static let node = AuditActor()

    /// An operator at the command line.
    public static func user(_ name: String) -> AuditActor { AuditActor(user: name) }
}

/// The rule, recipe and weights that led to an event.
public struct AuditMethod: Sendable, Equatable, Codable {
    /// Name of the route.
    public var route: String?
    /// SHA-256 of the configuration that contains the route, in hexadecimal digits.
    public var configurationHash: String?
    /// Name of the segmenter.
    public var segmenter: String?
    /// Version of the segmenter's recipe.
    public var segmenterVersion: String?
    /// SHA-256 of the weight file, in hexadecimal digits.
    public var weightsHash: String?
    /// Confidence of the result, 0...1.
    public var confidence: Double?

    /// Makes a method; a value that does not apply stays `nil`.
    public init(
        route: String? = nil, configurationHash: String? = nil, segmenter: String? = nil,
        segmenterVersion: String? = nil, weightsHash: String? = nil, confidence: Double? = nil
    ) {
        self.route = route
        self.configurationHash = configurationHash
        self.segmenter = segmenter
        self.segmenterVersion = segmenterVersion
        self.weightsHash = weightsHash
        self.confidence = confidence
    }
}
