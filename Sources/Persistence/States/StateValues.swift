// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// An instance that waits to be indexed.
public struct ReceivedInstance: Sendable, Equatable {
    public let id: InstanceID
    /// Absolute.
    public let path: String
    public let sopClassUID: String
    public let sopInstanceUID: String
    public let transferSyntaxUID: String
    public let association: UUID
    public let callingAETitle: String
    /// For display only.
    public let receivedAt: Date
}

/// What indexing found out about an instance.
public struct IndexedInstance: Sendable, Equatable {
    public var id: InstanceID
    public var studyInstanceUID: String
    public var seriesInstanceUID: String
    public var modality: String?
    /// Hex SHA-256 of pixels, image pixel and plane attributes: decides whether a variant shows another image.
    public var imageDigest: String
    /// Kept only as a keyed hash, in a table that can be erased.
    public var patientID: String?
    /// The encoded `InstanceHeader`; this room does not look into it.
    public var header: Data

    public init(
        id: InstanceID, studyInstanceUID: String, seriesInstanceUID: String, modality: String?, imageDigest: String,
        patientID: String?, header: Data
    ) {
        self.id = id
        self.studyInstanceUID = studyInstanceUID
        self.seriesInstanceUID = seriesInstanceUID
        self.modality = modality
        self.imageDigest = imageDigest
        self.patientID = patientID
        self.header = header
    }
}

/// What became of an instance when it was indexed.
public enum IndexedOutcome: Sendable, Equatable {
    /// It is in its series, which is open.
    case joined(SeriesID, revision: Int)
    /// It came late: its series was closed and is open again, as this revision. Unfinished work of the one before is
    /// superseded; whoever runs such a job stops it.
    case reopened(SeriesID, revision: Int, superseded: [JobID])
    /// Another data set with the same UID and the same image is current: nothing to do.
    case sameImage
    /// A newer data set with the same UID is current: nothing to do.
    case older
    /// Its UID is in our outbox: it is our own work coming back.
    case own
    /// It is not waiting to be indexed any more.
    case gone
}

/// A series that takes instances.
public struct OpenSeries: Sendable, Equatable {
    public let id: SeriesID
    public let studyInstanceUID: String
    public let seriesInstanceUID: String
    public let modality: String?
    /// Counts from 1.
    public let revision: Int
    /// Grows with every instance that joins; the same number means that nothing changed.
    public let received: Int
    /// The last that joined.
    public let lastInstance: InstanceID
    /// The associations that brought the instances since the series was opened last.
    public let associations: [UUID]
}

/// A current instance of a series.
public struct SeriesInstance: Sendable, Equatable {
    public let id: InstanceID
    /// Absolute.
    public let path: String
    public let sopClassUID: String
    public let sopInstanceUID: String
    public let transferSyntaxUID: String
    public let imageDigest: String
    public let callingAETitle: String
    /// The encoded `InstanceHeader`.
    public let header: Data
}

/// A stack of a series that is being closed.
public struct NewStack: Sendable, Equatable {
    public var series: SeriesID
    public var revision: Int
    /// Tells the stacks of a series apart, the same in every revision.
    public var key: String
    /// In stack order.
    public var instances: [InstanceID]
    public var route: String?
    public var segmenter: String?
    public var configurationHash: String?
    /// The encoded decision and its reasons; not made again.
    public var decision: Data

    public init(
        series: SeriesID, revision: Int, key: String, instances: [InstanceID], route: String? = nil,
        segmenter: String? = nil, configurationHash: String? = nil, decision: Data = Data()
    ) {
        self.series = series
        self.revision = revision
        self.key = key
        self.instances = instances
        self.route = route
        self.segmenter = segmenter
        self.configurationHash = configurationHash
        self.decision = decision
    }
}

/// Work for a worker.
public struct Job: Sendable, Equatable {
    public let id: JobID
    /// Stable name of the sort of work.
    public let kind: String
    public let state: JobState
    /// The encoded work; this room does not look into it.
    public let payload: Data
    public let stack: StackID
    public let stackKey: String
    public let series: SeriesID
    public let revision: Int
    public let studyInstanceUID: String
    public let seriesInstanceUID: String
    public let route: String?
    public let segmenter: String?
    public let configurationHash: String?
    /// Attempts charged: the worker died or overran while the node lived.
    public let attempts: Int
    /// Why it was last put back or given up.
    public let why: String?
}

/// An object that a job made.
public struct NewDerivedInstance: Sendable, Equatable {
    public var sopClassUID: String
    public var sopInstanceUID: String
    public var transferSyntaxUID: String
    public var studyInstanceUID: String
    public var seriesInstanceUID: String
    public var viewerProfile: String
    /// As ``Spool/acceptDerived(_:now:)`` returned it.
    public var path: String
    /// Hex SHA-256 of the file.
    public var sha256: String
    public var size: Int64
    /// The peers that it goes to, by their names in the configuration.
    public var peers: [String]
    /// SOP Instance UIDs of sent objects that this one replaces.
    public var predecessors: [String]

    public init(
        sopClassUID: String, sopInstanceUID: String, transferSyntaxUID: String, studyInstanceUID: String,
        seriesInstanceUID: String, viewerProfile: String, path: String, sha256: String, size: Int64, peers: [String],
        predecessors: [String] = []
    ) {
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
        self.transferSyntaxUID = transferSyntaxUID
        self.studyInstanceUID = studyInstanceUID
        self.seriesInstanceUID = seriesInstanceUID
        self.viewerProfile = viewerProfile
        self.path = path
        self.sha256 = sha256
        self.size = size
        self.peers = peers
        self.predecessors = predecessors
    }
}

/// A stored object of ours.
public struct DerivedInstance: Sendable, Equatable {
    public let sopClassUID: String
    public let sopInstanceUID: String
    public let transferSyntaxUID: String
    public let studyInstanceUID: String
    public let seriesInstanceUID: String
    public let viewerProfile: String
    /// Absolute; `nil` when retention has deleted the file.
    public let path: String?
    /// Hex SHA-256 of the file.
    public let sha256: String
    public let size: Int64
    /// The revision of the series that it was first made for.
    public let revision: Int
}

/// How a job ended.
public struct JobResult: Sendable, Equatable {
    /// Empty when nothing was found.
    public var outputs: [NewDerivedInstance]
    /// One word or two for tables: "segmented", "nothing found".
    public var outcome: String
    /// 0...1.
    public var confidence: Double?
    /// What the route makes of the confidence.
    public var standing: Standing

    /// Whether a person has to look at the answer.
    public enum Standing: Sendable, Equatable {
        case trusted
        /// Its confidence is low; it is sent all the same.
        case lowConfidence
        /// Its confidence is low, and its deliveries wait for a person.
        case held
    }

    public init(
        outputs: [NewDerivedInstance], outcome: String, confidence: Double? = nil, standing: Standing = .trusted
    ) {
        self.outputs = outputs
        self.outcome = outcome
        self.confidence = confidence
        self.standing = standing
    }
}

/// An object of ours that waits to be sent.
public struct Delivery: Sendable, Equatable {
    public let id: DeliveryID
    public let job: JobID
    /// The peer's name in the configuration.
    public let peer: String
    public let state: DeliveryState
    public let object: DerivedInstance
    public let attempts: Int
    /// How long it has been tried, by the sender's monotonic clock, over all starts of the node.
    public let tried: Duration
    /// What the sender wants to remember; this room does not look into it.
    public let memory: Data?
    public let why: String?
}
