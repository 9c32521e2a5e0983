// SPDX-License-Identifier: Apache-2.0
//
// The states and their arrows, drawn once. Each arrow is one method of `WriteTransaction` that bears its name.
//
//     instance   received -> indexed | own | notAnImage | quarantined      indexed -> quarantined
//     series     open -> closed | setAside        reopened when an instance comes late or leaves: revision n+1
//                setAside -> open (resumed, released) | closed (dropped)
//     stack      routed | unmatched | undetermined | unfit                 routed -> unfit
//     job        queued -> running -> done | queued again | dead | superseded     dead -> queued (revived)
//     delivery   pending -> sent | pending again | dead | superseded              dead -> pending (revived)
//                held -> pending (released) | dropped | superseded
//                sent, awaiting commitment -> committed | pending or superseded (lost) | dead | sent (waived)
//     request    asked -> answered | expired                                      expired -> answered (late)
//     report     received -> answered -> reported | answered again | undeliverable
//                reported | undeliverable -> received (the peer asks again)

/// The state of a received instance.
public enum InstanceState: String, Codable, CaseIterable, Sendable {
    /// The instance is on disk and acknowledged.
    ///
    /// The indexer moves it on. After a crash ``ReadTransaction/arrivals(after:)`` finds it again.
    case received
    /// Its header was read, and it belongs to a series. Final, unless its file kills workers later.
    case indexed
    /// Kontur made the instance, and an archive sent it back. Final.
    case own
    /// The instance does not have an image to segment. Final.
    case notAnImage
    /// The instance could not be read. Final.
    case quarantined
}

/// The state of a series.
public enum SeriesState: String, Codable, CaseIterable, Sendable {
    /// The series takes instances. The assembler closes it; after a start it counts the quiet time anew.
    case open
    /// The stacks of the series are decided and do not change. A late instance opens the next revision.
    case closed
    /// The series cannot be segmented as it is: its instances name two patients, or its closing failed. Its files stay.
    ///
    /// It is looked at again when an instance joins or leaves it. Otherwise a person decides: `kontur series`.
    case setAside
}

/// The decision about a stack.
public enum StackState: String, Codable, CaseIterable, Sendable {
    /// A route took the stack, and a job exists.
    case routed
    /// The stack does not match any route. Final.
    case unmatched
    /// Only routes with an undetermined condition could have taken the stack. Final.
    case undetermined
    /// The segmenter of the route cannot segment the stack. Final.
    case unfit
}

/// The state of a job.
public enum JobState: String, Codable, CaseIterable, Sendable {
    /// The job waits for a worker. The dispatcher moves it on.
    case queued
    /// A worker has the job. After a crash the job is rescued: queued again free of charge.
    case running
    /// The job has ended, and its deliveries exist. Final.
    case done
    /// The job was given up. Only an operator's `jobs retry` moves it on.
    case dead
    /// A newer revision of its series exists. Final.
    case superseded
}

/// The state of a delivery.
public enum DeliveryState: String, Codable, CaseIterable, Sendable {
    /// The object waits to be sent. The outbox moves it on. A crash does not need a rescue, because sending twice is
    /// harmless.
    case pending
    /// The object is held back for a person, because the confidence of its job was low; its file stays.
    ///
    /// Only an operator's `jobs release` or `jobs drop` moves it on.
    case held
    /// The peer answered that it has the object.
    ///
    /// Final, unless the peer has to commit itself to keep the object, too: ``WriteTransaction/sent(_:status:commitBy:_:)``.
    /// The service that asks for commitment moves such a delivery on, also after a crash.
    case sent
    /// The peer committed itself to keep the object. Final.
    case committed
    /// The delivery was given up, before the object was sent or before the peer committed itself; its file stays.
    ///
    /// Only an operator's `jobs retry` moves it on.
    case dead
    /// A newer revision exists. The delivery comes back if that revision makes the very same object.
    case superseded
    /// An operator decided that the object is not sent. Final.
    case dropped
}

/// The state of a request for storage commitment that the node makes to a peer.
public enum CommitmentRequestState: String, Codable, CaseIterable, Sendable {
    /// The request is about to be sent, or the peer has it. The peer's result moves it on, or its deadline.
    ///
    /// After a crash a request that the peer may not have is expired at once: ``ReadTransaction/unconfirmedRequests()``.
    case asked
    /// The peer has answered. Final.
    case answered
    /// The peer did not take or did not answer the request in time. A late result still counts.
    case expired
}

/// The state of the report that answers a peer's request for storage commitment.
public enum CommitmentReportState: String, Codable, CaseIterable, Sendable {
    /// The request is on disk. The service that reports looks for the instances, also after a crash.
    case received
    /// The answer is known and has to reach the peer. The service that reports tries until it gives up.
    case answered
    /// The peer has the report. Final, unless the peer asks the same again.
    case reported
    /// The report was given up. Final, unless the peer asks the same again.
    case undeliverable
}

// MARK: - Row numbers

/// Number of a row; `State` distinguishes the tables, so that the number of a job cannot be used as the number of a
/// delivery.
public struct RowID<State>: RawRepresentable, Hashable, Comparable, Codable, Sendable {
    /// The primary key of the row; grows in the order of the rows.
    public let rawValue: Int64

    /// Takes the primary key of a row.
    public init(rawValue: Int64) { self.rawValue = rawValue }

    /// Whether `left` is the older row.
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// Number of a received instance; grows in the order of receipt.
public typealias InstanceID = RowID<InstanceState>
/// Number of a series, the same in all its revisions.
public typealias SeriesID = RowID<SeriesState>
/// Number of a stack in one revision of a series.
public typealias StackID = RowID<StackState>
/// Number of a job.
public typealias JobID = RowID<JobState>
/// Number of a delivery: one derived object to one peer.
public typealias DeliveryID = RowID<DeliveryState>
/// Number of a request for storage commitment to a peer.
public typealias CommitmentRequestID = RowID<CommitmentRequestState>
/// Number of the report that answers a peer's request for storage commitment.
public typealias CommitmentReportID = RowID<CommitmentReportState>

// MARK: - Errors

/// An arrow that cannot be taken from the state of a row.
public enum StateError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The row does not exist; the values are its table and its number.
    case unknown(String, Int64)
    /// The arrow does not start from the state that was found; another caller has moved the row.
    case wrongState(String, Int64, found: String)
    /// The series took another instance after it was read; read it again.
    case seriesChanged(SeriesID)
    /// A newer revision of the series exists, so that the job cannot be revived.
    case outdated(JobID)
    /// An object with this SOP Instance UID was stored before, with other bytes.
    case otherBytes(String)

    public var description: String {
        switch self {
        case .unknown(let table, let id): "\(table) \(id) does not exist"
        case .wrongState(let table, let id, let found): "\(table) \(id) is \(found)"
        case .seriesChanged(let id): "series \(id.rawValue) took another instance meanwhile"
        case .otherBytes(let uid): "the object \(uid) was stored before with other bytes"
        case .outdated(let id): "job \(id.rawValue) belongs to an older revision of its series"
        }
    }
}
