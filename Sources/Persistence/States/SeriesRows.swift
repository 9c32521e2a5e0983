// SPDX-License-Identifier: Apache-2.0
//
// Rows as they are read and written on the way from a received instance to a decided stack.

public import Foundation

/// An instance that waits to be indexed.
public struct ReceivedInstance: Sendable, Equatable {
    /// Number of the instance.
    public let id: InstanceID
    /// Absolute path of the file.
    public let path: String
    /// SOP Class UID, as the C-STORE command gave it.
    public let sopClassUID: String
    /// SOP Instance UID, as the C-STORE command gave it.
    public let sopInstanceUID: String
    /// Transfer Syntax UID of the data set.
    public let transferSyntaxUID: String
    /// The association that brought the instance: ``AssociationFacts/id``; `nil` if its row is damaged.
    public let association: UUID?
    /// AE title of the peer.
    public let callingAETitle: String
    /// IP address of the peer.
    public let peerAddress: String
    /// Wall-clock time of receipt, for display.
    public let receivedAt: Date

    package init(
        id: InstanceID, path: String, sopClassUID: String, sopInstanceUID: String, transferSyntaxUID: String,
        association: UUID?, callingAETitle: String, peerAddress: String, receivedAt: Date
    ) {
        self.id = id
        self.path = path
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
        self.transferSyntaxUID = transferSyntaxUID
        self.association = association
        self.callingAETitle = callingAETitle
        self.peerAddress = peerAddress
        self.receivedAt = receivedAt
    }
}

/// The findings of the indexer about an instance.
public struct IndexedInstance: Sendable, Equatable {
    /// Number of the instance.
    public var id: InstanceID
    /// Study Instance UID.
    public var studyInstanceUID: String
    /// Series Instance UID.
    public var seriesInstanceUID: String
    /// Modality, such as `CT`; `nil` if the attribute is missing.
    public var modality: String?
    /// SHA-256 of pixels, image pixel and plane attributes, in hexadecimal digits; two variants of an image differ in
    /// it.
    public var imageDigest: String
    /// Patient ID; only a keyed hash of it is stored, in a table that can be erased.
    public var patientID: String?
    /// The digests of the attributes that a route, a stack or a derived object reads, by keyword.
    ///
    /// Only keyed hashes of them are stored.
    public var attributes: [String: String]
    /// The keyed hashes, if the caller made them before the transaction: ``Journal/keyed(_:)``.
    public var keyed: KeyedAttributes?
    /// Variants of the instance that need no other comparison, whether they show this image or another one.
    public var otherImages: Set<InstanceID> = []
    /// Whether the pixels were decoded and found equal to those of a variant, whose digest this instance then has.
    public var isRecoded = false
    /// The encoded `InstanceHeader`, which this room does not interpret.
    public var header: Data

    /// Collects the findings about an instance.
    public init(
        id: InstanceID, studyInstanceUID: String, seriesInstanceUID: String, modality: String?, imageDigest: String,
        patientID: String?, attributes: [String: String] = [:], header: Data
    ) {
        self.id = id
        self.studyInstanceUID = studyInstanceUID
        self.seriesInstanceUID = seriesInstanceUID
        self.modality = modality
        self.imageDigest = imageDigest
        self.patientID = patientID
        self.attributes = attributes
        self.header = header
    }
}

/// The effect of indexing an instance.
public enum IndexedOutcome: Sendable, Equatable {
    /// The instance joined its series, which is open.
    case joined(SeriesID, revision: Int)
    /// The instance came late, and its closed series is open again as this revision.
    ///
    /// Unfinished work of the revision before is superseded. A service that runs one of these jobs must stop it.
    case reopened(SeriesID, revision: Int, superseded: [JobID])
    /// A data set with the same UID, image and attributes is current, so that the series stays as it is.
    case sameImage
    /// A newer data set with the same UID is current, so that the series stays as it is.
    case older
    /// These variants of the instance are current or came later, and their digests differ. The instance stays received.
    ///
    /// If the decoded pixels of one of them are equal, they are the same image in two encodings. Index the instance
    /// again with the digest of that variant, or with ``IndexedInstance/otherImages``.
    case compare(with: [InstanceVariant])
    /// Kontur made an object with this UID, so that the instance is Kontur's own.
    case own
    /// The instance does not wait to be indexed any more.
    case gone
}

/// A series that takes instances.
public struct OpenSeries: Sendable, Equatable {
    /// Number of the series.
    public let id: SeriesID
    /// Study Instance UID.
    public let studyInstanceUID: String
    /// Series Instance UID.
    public let seriesInstanceUID: String
    /// Modality of the first instance; `nil` if the attribute is missing.
    public let modality: String?
    /// Revision, counted from 1.
    public let revision: Int
    /// Number that grows with each instance that joins; an equal number means an unchanged series.
    public let received: Int
    /// The latest instance that joined.
    public let lastInstance: InstanceID
    /// Whether a person accepted the series as it is, although its instances may name two patients.
    public let isAccepted: Bool
}

/// A current instance of a series.
public struct SeriesInstance: Sendable, Equatable {
    /// Number of the instance.
    public let id: InstanceID
    /// Absolute path of the file.
    public let path: String
    /// SOP Class UID.
    public let sopClassUID: String
    /// SOP Instance UID.
    public let sopInstanceUID: String
    /// Transfer Syntax UID of the data set.
    public let transferSyntaxUID: String
    /// SHA-256 of pixels, image pixel and plane attributes, in hexadecimal digits.
    public let imageDigest: String
    /// SHA-256 of the data set, in hexadecimal digits.
    public let sha256: String
    /// Keyed hashes of the attributes that a route, a stack or a derived object reads, by keyword.
    ///
    /// `nil` if an older version indexed the instance.
    public let attributes: [String: String]?
    /// AE title of the peer that sent the instance.
    public let callingAETitle: String
    /// The encoded `InstanceHeader`, which this room does not interpret.
    public let header: Data
}

/// A stack of a series that is being closed.
public struct NewStack: Sendable, Equatable {
    /// The series.
    public var series: SeriesID
    /// Revision of the series.
    public var revision: Int
    /// Text that identifies the stack in its series, the same in every revision.
    public var key: String
    /// The instances in stack order.
    public var instances: [InstanceID]
    /// Name of the route that took the stack; `nil` if the stack does not match any route.
    public var route: String?
    /// Name of the route's segmenter.
    public var segmenter: String?
    /// SHA-256 of the configuration that decided, in hexadecimal digits.
    public var configurationHash: String?
    /// The encoded decision with its reasons; the decision is not made again.
    public var decision: Data

    /// Describes a stack.
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
