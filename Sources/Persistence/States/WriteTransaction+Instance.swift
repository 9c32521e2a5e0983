// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB

extension WriteTransaction {
    /// received -> indexed: each instance joins its series, which it may open again; one record per series.
    ///
    /// An instance with the UID of a derived object becomes ``InstanceState/own``, even if the caller found an image in
    /// it.
    ///
    /// - Returns: one outcome per instance, in the order of `instances`.
    public func indexed(_ instances: [IndexedInstance], _ event: AuditEvent) throws -> [IndexedOutcome] {
        var outcomes: [IndexedOutcome] = []
        var records: [SeriesID: AuditSubject] = [:]
        for instance in instances {
            guard
                let row = try row(
                    "SELECT sopInstanceUID FROM instance WHERE id = ? AND state = 'received'", [instance.id.rawValue])
            else {
                outcomes.append(.gone)
                continue
            }
            let uid: String = row["sopInstanceUID"]
            if try isOurs(uid) {
                try own(instance.id, event)
                outcomes.append(.own)
                continue
            }
            if let patientID = instance.patientID, !patientID.isEmpty {
                try subject(study: instance.studyInstanceUID, patientID: patientID)
            }
            let (outcome, series) = try join(instance, uid: uid, event)
            outcomes.append(outcome)
            records[
                series,
                default: AuditSubject(study: instance.studyInstanceUID, series: instance.seriesInstanceUID)
            ].instancesIn.append(uid)
        }
        for (_, value) in records.sorted(by: { $0.key < $1.key }) {
            var subject = value
            subject.count = Int64(subject.instancesIn.count)
            try record(.instancesIndexed, event, subject)
        }
        return outcomes
    }

    /// Puts an instance into its series and decides which variant of its UID is current.
    private func join(
        _ instance: IndexedInstance, uid: String, _ event: AuditEvent
    ) throws -> (IndexedOutcome, SeriesID) {
        let series = try self.series(of: instance)
        let others = try rows(
            """
            SELECT id, imageDigest FROM instance
            WHERE sopInstanceUID = ? AND id <> ? AND isCurrent AND state = 'indexed'
            """, [uid, instance.id.rawValue])
        let same = others.contains { $0["imageDigest"] == instance.imageDigest }
        let older = others.contains { instance.id.rawValue < $0["id"] }
        let current = !same && !older
        if current {
            for other in others {
                try execute("UPDATE instance SET isCurrent = 0 WHERE id = ?", [other["id"] as Int64])
            }
        }
        var outcome: IndexedOutcome = same ? .sameImage : .older
        var revision = try revision(of: series)
        if current {
            let state: SeriesState? = try row("SELECT state FROM series WHERE id = ?", [series.rawValue]).map(state)
            if state == .closed {
                let superseded = try reopened(series, event)
                revision += 1
                outcome = .reopened(series, revision: revision, superseded: superseded)
            } else {
                if state == .setAside {
                    try resumed(series, AuditEvent(by: event.by, reason: "an instance joined the series"))
                }
                outcome = .joined(series, revision: revision)
            }
            try execute(
                "UPDATE series SET received = received + 1, lastInstanceId = max(lastInstanceId, ?) WHERE id = ?",
                [instance.id.rawValue, series.rawValue])
        }
        try execute(
            """
            UPDATE instance SET state = 'indexed', seriesId = ?, joinedRevision = ?, isCurrent = ?, imageDigest = ?,
                changedAt = ? WHERE id = ?
            """,
            [series.rawValue, revision, current, instance.imageDigest, now, instance.id.rawValue])
        try execute(
            "INSERT INTO instanceHeader (instanceId, header) VALUES (?, ?)", [instance.id.rawValue, instance.header])
        return (outcome, series)
    }

    /// received -> own: an archive sent an object of Kontur's own back; it is never segmented.
    public func own(_ id: InstanceID, _ event: AuditEvent) throws {
        try settle(id, to: .own, event, .instanceOwn)
    }

    /// received -> notAnImage: the instance does not have an image to segment.
    public func notAnImage(_ id: InstanceID, _ event: AuditEvent) throws {
        try settle(id, to: .notAnImage, event, .instanceNotAnImage)
    }

    /// received or indexed -> quarantined: the instance cannot be read, or keeps killing workers.
    ///
    /// ``Journal/quarantine(_:_:)`` gives the file its name in `quarantine/` before it calls this.
    func quarantined(_ id: InstanceID, folder: String, _ event: AuditEvent) throws {
        try move(
            "instance", id.rawValue, from: [InstanceState.received.rawValue, InstanceState.indexed.rawValue],
            to: InstanceState.quarantined.rawValue, why: event.reason)
        try execute("UPDATE instance SET folder = ?, isCurrent = 0 WHERE id = ?", [folder, id.rawValue])
        try record(.instanceQuarantined, event, try subject(of: id))
    }

    /// received -> `state`, a final one.
    private func settle(
        _ id: InstanceID, to state: InstanceState, _ event: AuditEvent, _ name: AuditEvent.Name
    ) throws {
        try move(
            "instance", id.rawValue, from: [InstanceState.received.rawValue], to: state.rawValue, why: event.reason)
        try record(name, event, try subject(of: id))
    }

    /// The study, the series and the UID of an instance, for its record.
    private func subject(of id: InstanceID) throws -> AuditSubject {
        guard
            let row = try row(
                """
                SELECT i.sopInstanceUID, s.studyInstanceUID, s.seriesInstanceUID
                FROM instance i LEFT JOIN series s ON s.id = i.seriesId WHERE i.id = ?
                """, [id.rawValue])
        else { throw StateError.unknown("instance", id.rawValue) }
        return AuditSubject(
            study: row["studyInstanceUID"], series: row["seriesInstanceUID"], instancesIn: [row["sopInstanceUID"]])
    }
}
