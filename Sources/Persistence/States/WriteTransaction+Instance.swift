// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB

extension WriteTransaction {
    /// received -> indexed: each instance joins its series, which it may open again; one record per kind and series.
    ///
    /// An instance with the UID of a derived object becomes ``InstanceState/own``, even if the caller found an image in
    /// it. An instance of which a current variant has another digest stays received until the caller has compared the
    /// two: ``IndexedOutcome/compare(with:)``.
    public func indexed(_ instances: [IndexedInstance], _ event: AuditEvent) throws -> Indexing {
        var indexing = Indexing()
        var notes = IndexingNotes()
        var patients: [String: String] = [:]
        for instance in instances {
            guard
                let row = try row(
                    "SELECT sopInstanceUID FROM instance WHERE id = ? AND state = 'received'", [instance.id.rawValue])
            else {
                indexing.outcomes.append(.gone)
                continue
            }
            let uid: String = row["sopInstanceUID"]
            if try isOurs(uid) {
                try own(instance.id, event)
                indexing.outcomes.append(.own)
                continue
            }
            let study = instance.studyInstanceUID
            if let patientID = instance.patientID, !patientID.isEmpty, patients[study] != patientID {
                try subject(study: study, patientID: patientID)
                patients[study] = patientID
            }
            let outcome = try join(instance, uid: uid, event, &indexing, &notes)
            indexing.outcomes.append(outcome)
        }
        try record(notes, event)
        return indexing
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
