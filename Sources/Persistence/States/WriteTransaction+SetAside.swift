// SPDX-License-Identifier: Apache-2.0
//
// Series that cannot be segmented as they are. Each one keeps its files, and never holds up another series.

import GRDB

extension WriteTransaction {
    /// open -> setAside: the series cannot be segmented as it is, for the event's reason.
    ///
    /// - Throws: ``StateError`` if the series is missing or not open.
    public func setAside(_ id: SeriesID, _ event: AuditEvent) throws {
        try move(
            "series", id.rawValue, from: [SeriesState.open.rawValue], to: SeriesState.setAside.rawValue,
            why: event.reason)
        try execute("UPDATE series SET accepted = NULL, recalled = 0 WHERE id = ?", [id.rawValue])
        try record(.seriesSetAside, event, try subject(of: id))
    }

    /// open -> setAside, for the series as it was read.
    ///
    /// - Throws: ``StateError/seriesChanged(_:)`` if an instance has joined or left since the series was read.
    public func setAside(_ series: OpenSeries, _ event: AuditEvent) throws {
        guard try openSeries(series.id)?.received == series.received else { throw StateError.seriesChanged(series.id) }
        try setAside(series.id, event)
    }

    /// setAside -> open: the series is looked at again.
    ///
    /// The assembler of a running node finds the series by itself.
    ///
    /// - Throws: ``StateError`` if the series is missing or not set aside.
    public func resumed(_ id: SeriesID, _ event: AuditEvent) throws {
        try reopen(id)
        try record(.seriesResumed, event, try subject(of: id))
    }

    /// setAside -> open, or a doubt is settled: a person accepts the series as it is.
    ///
    /// The series is then closed although its instances name two patients, unless an instance joins or leaves it
    /// before.
    ///
    /// - Throws: ``StateError`` if the series is missing, or neither set aside nor in doubt.
    public func released(_ id: SeriesID, _ event: AuditEvent) throws {
        guard let row = try row("SELECT state, doubt FROM series WHERE id = ?", [id.rawValue]) else {
            throw StateError.unknown("series", id.rawValue)
        }
        let found: SeriesState = try state(row)
        let doubt: String? = row["doubt"]
        if found == .setAside || doubt == nil { try reopen(id) }
        try execute("UPDATE series SET accepted = received, doubt = NULL WHERE id = ?", [id.rawValue])
        try record(.seriesReleased, event, try subject(of: id))
    }

    /// setAside -> closed: a person decides that the series is not segmented.
    ///
    /// Retention deletes its files as those of any closed series.
    ///
    /// - Throws: ``StateError`` if the series is missing or not set aside.
    public func dropped(_ id: SeriesID, _ event: AuditEvent) throws {
        try move(
            "series", id.rawValue, from: [SeriesState.setAside.rawValue], to: SeriesState.closed.rawValue,
            why: event.reason)
        try record(.seriesDropped, event, try subject(of: id))
    }

    private func reopen(_ id: SeriesID) throws {
        try move("series", id.rawValue, from: [SeriesState.setAside.rawValue], to: SeriesState.open.rawValue)
        try execute("UPDATE series SET openedAt = ?, recalled = 1 WHERE id = ?", [now, id.rawValue])
    }

    /// The study, the UID and the revision of a series, for its record.
    func subject(of id: SeriesID) throws -> AuditSubject {
        guard
            let row = try row(
                "SELECT studyInstanceUID, seriesInstanceUID, revision FROM series WHERE id = ?", [id.rawValue])
        else { throw StateError.unknown("series", id.rawValue) }
        return AuditSubject(
            study: row["studyInstanceUID"], series: row["seriesInstanceUID"], revision: row["revision"] as Int64)
    }
}
