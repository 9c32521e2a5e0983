// SPDX-License-Identifier: Apache-2.0

/// What the caller of a state change knows about it, for its audit record.
///
/// The arrow itself adds its name and the study, series and SOP instance UIDs that it touched. Nothing here can hold a
/// patient's name, id, birth date or a description: who and how are names of nodes, routes and recipes.
public struct AuditEvent: Sendable, Equatable {
    /// Who caused it.
    public var by: AuditActor
    /// By which means.
    public var how: AuditMethod
    /// Why, in words. Only printable ASCII is kept, at most 400 characters. Never patient data or free text of a study.
    public var reason: String?

    public init(by: AuditActor = .node, how: AuditMethod = AuditMethod(), reason: String? = nil) {
        self.by = by
        self.how = how
        self.reason = reason.map(Self.clean)
    }

    static func clean(_ text: String) -> String {
        var kept = ""
        for scalar in text.unicodeScalars.prefix(400) {
            kept.unicodeScalars.append((0x20..<0x7F).contains(scalar.value) ? scalar : "?")
        }
        return kept
    }

    /// Every event of the trail.
    public enum Name: String, Codable, CaseIterable, Sendable {
        case nodeStarted, nodeStopped, configurationUsed
        case associationRejected
        /// Instances acknowledged on one association by one commit.
        case instancesReceived
        /// Found after a crash without their file: never acknowledged.
        case instancesNeverAcknowledged
        case instancesIndexed, instanceOwn, instanceNotAnImage, instanceQuarantined
        case seriesClosed, seriesReopened
        case stackRouted, stackUnmatched, stackUndetermined, stackUnfit
        case jobQueued, jobRunning, jobDone, jobQueuedAgain, jobRescued, jobDead, jobSuperseded, jobRevived
        case deliverySent, deliveryPendingAgain, deliveryDead, deliverySuperseded, deliveryRevived
        /// A result of low confidence that was held back, let go or not sent by an operator.
        case deliveryReleased, deliveryDropped
        case filesDeleted, subjectErased
        case auditExported, auditSegmentDropped
        case modelInstalled
    }
}

/// Who caused an event: a peer, a user of the command line, or the node itself.
public struct AuditActor: Sendable, Equatable, Codable {
    /// The AE title of the peer that called us or that we called.
    public var aeTitle: String?
    /// Its IP address.
    public var address: String?
    /// The subject of its certificate.
    public var certificate: String?
    /// The login name of an operator.
    public var user: String?

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

/// By which means something was done.
public struct AuditMethod: Sendable, Equatable, Codable {
    public var route: String?
    /// Hex SHA-256 of the configuration that decided.
    public var configurationHash: String?
    public var segmenter: String?
    public var segmenterVersion: String?
    /// Hex SHA-256 of the weight file.
    public var weightsHash: String?
    /// 0...1.
    public var confidence: Double?

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
