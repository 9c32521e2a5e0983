// SPDX-License-Identifier: Apache-2.0
//
// Rows as they are read and written on the way from a queued job to a sent object.

public import Foundation

/// A segmentation that a worker has to make, or has made.
public struct Job: Sendable, Equatable {
    /// Number of the job.
    public let id: JobID
    /// Stable name of the kind of work.
    public let kind: String
    /// State of the job.
    public let state: JobState
    /// The encoded work, which this room does not interpret.
    public let payload: Data
    /// The stack to segment.
    public let stack: StackID
    /// Text that identifies the stack in its series, the same in every revision.
    public let stackKey: String
    /// The series of the stack.
    public let series: SeriesID
    /// Revision of the series, counted from 1.
    public let revision: Int
    /// Study Instance UID.
    public let studyInstanceUID: String
    /// Series Instance UID.
    public let seriesInstanceUID: String
    /// Name of the route that took the stack.
    public let route: String?
    /// Name of the segmenter.
    public let segmenter: String?
    /// SHA-256 of the configuration that decided, in hexadecimal digits.
    public let configurationHash: String?
    /// Number of attempts in which the worker died or overran while the node lived.
    public let attempts: Int
    /// Reason for which the job was queued again or given up last.
    public let why: String?
}

/// An object that a job has made and that gets a row.
public struct NewDerivedInstance: Sendable, Equatable {
    /// SOP Class UID.
    public var sopClassUID: String
    /// SOP Instance UID.
    public var sopInstanceUID: String
    /// Transfer Syntax UID.
    public var transferSyntaxUID: String
    /// Study Instance UID.
    public var studyInstanceUID: String
    /// Series Instance UID.
    public var seriesInstanceUID: String
    /// Name of the kind of object: `ObjectKind.rawValue`.
    public var kind: String
    /// The stored path that ``Spool/acceptDerived(_:now:)`` returned.
    public var path: String
    /// SHA-256 of the file, in hexadecimal digits.
    public var sha256: String
    /// Size of the file in bytes.
    public var size: Int64
    /// Names of the peers that get the object, as the configuration calls them.
    public var peers: [String]
    /// SOP Instance UIDs of sent objects that this one replaces.
    public var predecessors: [String]
    /// Everything that decided the bytes beside the sources and the answer, encoded; this room does not interpret it.
    ///
    /// `nil` for an object that was stored before.
    public var description: Data?
    /// Text that objects of one answer share, whatever else they say.
    public var answerKey: String?

    /// Describes an object.
    public init(
        sopClassUID: String, sopInstanceUID: String, transferSyntaxUID: String, studyInstanceUID: String,
        seriesInstanceUID: String, kind: String, path: String, sha256: String, size: Int64, peers: [String],
        predecessors: [String] = [], description: Data? = nil, answerKey: String? = nil
    ) {
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
        self.transferSyntaxUID = transferSyntaxUID
        self.studyInstanceUID = studyInstanceUID
        self.seriesInstanceUID = seriesInstanceUID
        self.kind = kind
        self.path = path
        self.sha256 = sha256
        self.size = size
        self.peers = peers
        self.predecessors = predecessors
        self.description = description
        self.answerKey = answerKey
    }
}

/// An object of Kontur's own that has a row.
public struct DerivedInstance: Sendable, Equatable {
    /// Number of the row; grows in the order in which objects were made.
    public let id: Int64
    /// SOP Class UID.
    public let sopClassUID: String
    /// SOP Instance UID.
    public let sopInstanceUID: String
    /// Transfer Syntax UID.
    public let transferSyntaxUID: String
    /// Study Instance UID.
    public let studyInstanceUID: String
    /// Series Instance UID.
    public let seriesInstanceUID: String
    /// Name of the kind of object: `ObjectKind.rawValue`.
    public let kind: String
    /// Absolute path of the file; `nil` if retention has deleted the file.
    public let path: String?
    /// SHA-256 of the file, in hexadecimal digits.
    public let sha256: String
    /// Size of the file in bytes.
    public let size: Int64
    /// Revision of the series for which the object was made first.
    public let revision: Int
    /// Whether at least one peer has the object, or may have it because a connection broke on the way.
    public let isSent: Bool
    /// Whether at least one peer has the object, or may have it: the object was offered, and the answer is not known
    /// yet.
    public let mayBeSent: Bool
    /// What decided the bytes beside the sources and the answer, encoded; `nil` if it is not known, or if the object was
    /// read with a delivery.
    public let description: Data?
    /// Confidence of the answer, 0...1; `nil` if it is not known.
    public let confidence: Double?
}

/// What the journal still knows of an object after retention has deleted its job.
public struct FormerObject: Sendable, Equatable {
    /// The key of the stack that it was made of.
    public let stackKey: String
    /// Name of the segmenter.
    public let segmenter: String?
    /// What decided the bytes beside the sources and the answer, encoded; `nil` if it is not known.
    public let description: Data?
}

/// The result of a job.
public struct JobResult: Sendable, Equatable {
    /// The objects that the job made; empty if it did not find anything.
    public var outputs: [NewDerivedInstance]
    /// One or two words for tables, such as "segmented" or "nothing found".
    public var outcome: String
    /// Confidence of the result, 0...1.
    public var confidence: Double?
    /// Consequence of the confidence.
    public var standing: Standing

    /// The consequence that the route draws from the confidence.
    public enum Standing: Sendable, Equatable {
        /// The confidence is high enough, or the route does not ask for one.
        case trusted
        /// The confidence is low, and the objects are sent all the same.
        case lowConfidence
        /// The confidence is low, and the deliveries wait for a person.
        case held
    }

    /// Describes a result.
    public init(
        outputs: [NewDerivedInstance], outcome: String, confidence: Double? = nil, standing: Standing = .trusted
    ) {
        self.outputs = outputs
        self.outcome = outcome
        self.confidence = confidence
        self.standing = standing
    }
}

/// An object on its way to one peer.
public struct Delivery: Sendable, Equatable {
    /// Number of the delivery.
    public let id: DeliveryID
    /// The job that made the object last.
    public let job: JobID
    /// Name of the peer, as the configuration calls it.
    public let peer: String
    /// State of the delivery.
    public let state: DeliveryState
    /// The object.
    public let object: DerivedInstance
    /// Number of attempts so far.
    public let attempts: Int
    /// Time spent on attempts, over all starts of the node, by the sender's monotonic clock.
    public let tried: Duration
    /// The sender's notes, which this room does not interpret.
    public let memory: Data?
    /// Reason for which the last attempt failed.
    public let why: String?
}

/// A peer with deliveries that wait to be sent.
public struct WaitingPeer: Sendable, Equatable {
    /// Name of the peer, as the configuration calls it.
    public let name: String
    /// The newest of the deliveries.
    public let newest: DeliveryID
}
