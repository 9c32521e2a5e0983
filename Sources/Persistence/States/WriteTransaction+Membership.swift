// SPDX-License-Identifier: Apache-2.0
//
// Which variant of a SOP Instance UID is current, and in which series.
//
// A variant is current unless a variant that was received later has the same series or the same image. So, for a new
// variant:
//
//     in the same series, same image, same attributes       nothing new
//     in the same series, same image, other attributes      the newest is current; the series changes
//     in the same series, another image                     the newest is current; the series changes
//     in another series, same image                         the instance has moved: both series change
//     in another series, another image                      both are current, and both series are in doubt
//
// The rule holds in whatever order variants are indexed. A series that changes is open, or it opens again as the next
// revision.

import Foundation
import GRDB

/// The effects of a batch of indexed instances.
public struct Indexing: Sendable, Equatable {
    /// One outcome per instance, in their order.
    public internal(set) var outcomes: [IndexedOutcome] = []
    /// Other series that lost an instance, or that are open without having gained one.
    public internal(set) var others: [OtherSeries] = []

    /// An open series that an instance concerns without joining it.
    public struct OtherSeries: Sendable, Equatable {
        /// Number of the series.
        public let id: SeriesID
        /// Modality of the first instance; `nil` if the attribute is missing.
        public let modality: String?
        /// Revision, counted from 1.
        public let revision: Int
        /// The instance that concerns the series.
        public let instance: InstanceID
        /// Whether the series lost an instance.
        public let hasLost: Bool
        /// Jobs that are superseded, because the series was closed.
        public let superseded: [JobID]
    }
}

/// The records of a batch, which name many instances each.
struct IndexingNotes {
    struct Correction {
        var uids: [String] = []
        var attributes: Set<String> = []
    }

    struct Move: Hashable {
        var from: SeriesID
        var to: SeriesID
    }

    var indexed: [SeriesID: [String]] = [:]
    var recoded: [SeriesID: Int] = [:]
    var corrected: [SeriesID: Correction] = [:]
    var moved: [Move: [String]] = [:]
    var doubtful: [SeriesID: [String]] = [:]
}

/// A variant of a SOP Instance UID: an instance with this UID that was indexed.
public struct InstanceVariant: Sendable, Equatable {
    /// Number of the instance.
    public let id: InstanceID
    /// Absolute path of the file.
    public let path: String
    /// Transfer Syntax UID of the data set.
    public let transferSyntaxUID: String
    /// SHA-256 of pixels, image pixel and plane attributes, in hexadecimal digits.
    public let imageDigest: String
    let series: SeriesID
    let isCurrent: Bool
    /// Keyed hashes by keyword; `nil` for a row of an older version.
    let attributes: [String: String]?
}

extension WriteTransaction {
    /// Puts an instance into its series and decides which variant of its UID is current.
    func join(
        _ instance: IndexedInstance, uid: String, _ event: AuditEvent, _ indexing: inout Indexing,
        _ notes: inout IndexingNotes
    ) throws -> IndexedOutcome {
        let variants = try variants(of: uid, besides: instance.id)
        let current = variants.filter(\.isCurrent)
        // A variant that came later replaces this one if it shows the same image, also if it is not current any more.
        let unknown = variants.filter {
            ($0.isCurrent || instance.id < $0.id) && $0.imageDigest != instance.imageDigest
                && !instance.otherImages.contains($0.id)
        }
        if !unknown.isEmpty { return .compare(with: unknown) }
        let series = try self.series(of: instance)
        let keyed = instance.keyed ?? KeyedAttributes(instance.attributes, subjects)
        let hashes = keyed.hashes
        notes.indexed[series, default: []].append(uid)
        if instance.isRecoded { notes.recoded[series, default: 0] += 1 }
        for twin in current
        where twin.series != series && twin.imageDigest == instance.imageDigest && twin.id < instance.id {
            try retire(twin)
            try leave(twin.series, cause: instance.id, event, &indexing)
            notes.moved[IndexingNotes.Move(from: twin.series, to: series), default: []].append(uid)
        }
        let here = current.first { $0.series == series }
        let change = here.flatMap { Change(from: $0, to: instance, hashes) }
        let isOlder = variants.contains {
            instance.id < $0.id && ($0.series == series || $0.imageDigest == instance.imageDigest)
        }
        var outcome: IndexedOutcome
        if isOlder {
            outcome = .older
            if let here, here.id < instance.id {
                // The instance replaced this variant, and has moved to another series since.
                try retire(here)
                try leave(series, cause: instance.id, event, &indexing)
            }
        } else {
            if let here { try retire(here) }
            if here != nil, change == nil {
                outcome = .sameImage
            } else {
                if let change, !change.attributes.isEmpty {
                    notes.corrected[series, default: IndexingNotes.Correction()].uids.append(uid)
                    notes.corrected[series]?.attributes.formUnion(change.attributes)
                }
                for rival in current where rival.series != series && rival.imageDigest != instance.imageDigest {
                    for doubtful in [series, rival.series] { try doubt(doubtful, uid, &notes) }
                }
                let reason = change?.reason ?? "an instance arrived after the series was closed"
                let (revision, superseded) = try changed(series, reason: reason, newest: instance.id, event)
                outcome =
                    superseded.map { .reopened(series, revision: revision, superseded: $0) }
                    ?? .joined(series, revision: revision)
            }
        }
        try store(instance, in: series, isCurrent: !isOlder, keyed)
        if outcome == .older || outcome == .sameImage, let open = try openSeries(series) {
            indexing.others.append(.init(open, instance.id, hasLost: false))
        }
        return outcome
    }

    private func store(
        _ instance: IndexedInstance, in series: SeriesID, isCurrent: Bool, _ keyed: KeyedAttributes
    ) throws {
        try execute(
            """
            UPDATE instance SET state = 'indexed', seriesId = ?, joinedRevision = ?, isCurrent = ?, imageDigest = ?,
                changedAt = ? WHERE id = ?
            """,
            [
                series.rawValue, try revision(of: series), isCurrent, instance.imageDigest, now, instance.id.rawValue,
            ])
        try execute(
            "INSERT INTO instanceHeader (instanceId, header, attributes) VALUES (?, ?, ?)",
            [instance.id.rawValue, instance.header, keyed.encoded])
    }

    /// The indexed variants of a UID, in the order of receipt.
    private func variants(of uid: String, besides id: InstanceID) throws -> [InstanceVariant] {
        try rows(
            """
            SELECT i.id, i.seriesId, i.isCurrent, i.folder, i.file, i.transferSyntaxUID, i.imageDigest, h.attributes
            FROM instance i LEFT JOIN instanceHeader h ON h.instanceId = i.id
            WHERE i.sopInstanceUID = ? AND i.id <> ? AND i.state = 'indexed' ORDER BY i.id
            """, [uid, id.rawValue]
        ).map { row in
            InstanceVariant(
                id: InstanceID(rawValue: row["id"]), path: path(row), transferSyntaxUID: row["transferSyntaxUID"],
                imageDigest: row["imageDigest"] ?? "", series: SeriesID(rawValue: row["seriesId"]),
                isCurrent: row["isCurrent"],
                attributes: AttributeHashes.decode(row["attributes"]))
        }
    }

    private func retire(_ variant: InstanceVariant) throws {
        try execute("UPDATE instance SET isCurrent = 0 WHERE id = ?", [variant.id.rawValue])
    }

    /// A series loses an instance, which has moved to another one.
    private func leave(
        _ series: SeriesID, cause: InstanceID, _ event: AuditEvent, _ indexing: inout Indexing
    ) throws {
        let (_, superseded) = try changed(series, reason: "an instance has moved to another series", event)
        guard let open = try openSeries(series) else { throw StateError.unknown("series", series.rawValue) }
        indexing.others.append(.init(open, cause, hasLost: true, superseded: superseded ?? []))
    }

    /// Notes that the instances of a series have changed, and opens the series if it is not open.
    ///
    /// - Parameters:
    ///   - series: the series that gained or lost an instance.
    ///   - reason: the reason for a record of the series.
    ///   - newest: the instance that joined; `nil` if one left.
    ///   - event: the cause.
    /// - Returns: the revision, and the superseded jobs of a series that was closed.
    /// - Throws: ``StateError`` if the series does not exist.
    private func changed(
        _ series: SeriesID, reason: String, newest: InstanceID? = nil, _ event: AuditEvent
    ) throws -> (revision: Int, superseded: [JobID]?) {
        guard let row = try row("SELECT state FROM series WHERE id = ?", [series.rawValue]) else {
            throw StateError.unknown("series", series.rawValue)
        }
        let found: SeriesState = try state(row)
        var event = event
        event.reason = AuditEvent.clean(reason)
        var superseded: [JobID]?
        switch found {
        case .open: break
        case .closed: superseded = try reopened(series, event)
        case .setAside: try resumed(series, event)
        }
        try execute(
            "UPDATE series SET received = received + 1, lastInstanceId = max(lastInstanceId, ?) WHERE id = ?",
            [newest?.rawValue ?? 0, series.rawValue])
        return (try revision(of: series), superseded)
    }

    private static let doubt = "another series has images with the same SOP Instance UIDs, and they differ"

    private func doubt(_ series: SeriesID, _ uid: String, _ notes: inout IndexingNotes) throws {
        try execute("UPDATE series SET doubt = ? WHERE id = ?", [Self.doubt, series.rawValue])
        notes.doubtful[series, default: []].append(uid)
    }

    // MARK: - Records

    /// Writes the records of a batch, one per kind and series.
    func record(_ notes: IndexingNotes, _ event: AuditEvent) throws {
        func write(
            _ name: AuditEvent.Name, _ series: SeriesID, _ uids: [String], reason: String?
        ) throws {
            var event = event
            event.reason = reason.map(AuditEvent.clean) ?? event.reason
            var subject = try subject(of: series)
            if name == .instancesIndexed { subject.revision = nil }
            subject.instancesIn = uids
            subject.count = Int64(uids.count)
            try record(name, event, subject)
        }
        for (series, correction) in notes.corrected.sorted(by: { $0.key < $1.key }) {
            try write(
                .instancesCorrected, series, correction.uids,
                reason: "other values of " + correction.attributes.sorted().joined(separator: ", "))
        }
        for (move, uids) in notes.moved.sorted(by: { ($0.key.from, $0.key.to) < ($1.key.from, $1.key.to) }) {
            let new = try subject(of: move.to)
            try write(
                .instancesMoved, move.from, uids,
                reason: "now in series \(new.series ?? "") of study \(new.study ?? "")")
        }
        for (series, uids) in notes.doubtful.sorted(by: { $0.key < $1.key }) {
            try write(.seriesInDoubt, series, uids, reason: Self.doubt)
        }
        for (series, uids) in notes.indexed.sorted(by: { $0.key < $1.key }) {
            try write(
                .instancesIndexed, series, uids,
                reason: notes.recoded[series].map { "\($0) of them are other encodings of the same images" })
        }
    }
}

extension Indexing.OtherSeries {
    fileprivate init(_ series: OpenSeries, _ instance: InstanceID, hasLost: Bool, superseded: [JobID] = []) {
        self.init(
            id: series.id, modality: series.modality, revision: series.revision, instance: instance, hasLost: hasLost,
            superseded: superseded)
    }
}

/// The difference between two variants of an instance in one series.
private struct Change: Equatable {
    /// Keywords of the attributes that differ; empty if the images differ.
    var attributes: Set<String> = []
    /// The reason for the record of the series: keywords, and no values.
    var reason = "an instance came again with another image"

    /// Compares two variants.
    ///
    /// - Returns: `nil` if image and attributes are the same.
    init?(from old: InstanceVariant, to new: IndexedInstance, _ hashes: [String: String]) {
        guard old.imageDigest == new.imageDigest else { return }
        guard let before = old.attributes else {
            // An older version did not store hashes, so that any attribute may differ.
            attributes = ["attributes that were not compared"]
            reason = "an instance came again, and its attributes may have changed"
            return
        }
        attributes = Set(before.keys).union(hashes.keys).filter { before[$0] != hashes[$0] }
        if attributes.isEmpty { return nil }
        reason = "an instance came again with other values of " + attributes.sorted().joined(separator: ", ")
    }
}

/// Keyed hashes of attributes, as a row stores them.
enum AttributeHashes {
    /// JSON with sorted keys.
    ///
    /// Keywords and hexadecimal digits do not need escapes, and `JSONEncoder` would take much longer.
    static func encode(_ hashes: [String: String]) -> Data {
        var text = "{"
        text.reserveCapacity(64 * hashes.count)
        for (keyword, hash) in hashes.sorted(by: { $0.key < $1.key }) {
            if text.utf8.count > 1 { text += "," }
            text += "\""
            text += keyword
            text += "\":\""
            text += hash
            text += "\""
        }
        text += "}"
        return Data(text.utf8)
    }

    /// `nil` for a row of an older version, and for a damaged one.
    static func decode(_ data: Data?) -> [String: String]? {
        data.flatMap { try? JSONDecoder().decode([String: String].self, from: $0) }
    }
}
