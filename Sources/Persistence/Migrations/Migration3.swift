// SPDX-License-Identifier: Apache-2.0
//
// Identity: series that are set aside or in doubt, and hashes of the attributes that decide whose images these are.
// SQLite cannot change a CHECK, so the table of series is made anew.

enum Migration3 {
    static let name = "3"

    static let sql = """
        -- `why`: the reason for which the series is set aside.
        -- `doubt`: another series has one of its SOP Instance UIDs with another image.
        -- `accepted`: the value of `received` for which a person accepted the series as it is.
        -- `recalled`: a person sent the series back to the assembler.
        CREATE TABLE newSeries (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            studyInstanceUID TEXT NOT NULL,
            seriesInstanceUID TEXT NOT NULL,
            modality TEXT,
            revision INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'closed', 'setAside')),
            why TEXT,
            doubt TEXT,
            accepted INTEGER,
            recalled INTEGER NOT NULL DEFAULT 0,
            received INTEGER NOT NULL,
            lastInstanceId INTEGER NOT NULL,
            openedAt INTEGER NOT NULL,
            changedAt INTEGER NOT NULL,
            UNIQUE (studyInstanceUID, seriesInstanceUID)
        ) STRICT;
        INSERT INTO newSeries (id, studyInstanceUID, seriesInstanceUID, modality, revision, state, received,
                lastInstanceId, openedAt, changedAt)
            SELECT id, studyInstanceUID, seriesInstanceUID, modality, revision, state, received, lastInstanceId,
                openedAt, changedAt FROM series;
        DELETE FROM sqlite_sequence WHERE name = 'newSeries';
        INSERT INTO sqlite_sequence (name, seq) SELECT 'newSeries', seq FROM sqlite_sequence WHERE name = 'series';
        DROP TABLE series;
        ALTER TABLE newSeries RENAME TO series;
        CREATE INDEX seriesState ON series (state);
        CREATE INDEX seriesDoubt ON series (id) WHERE doubt IS NOT NULL;
        CREATE INDEX seriesRecalled ON series (id) WHERE recalled = 1;

        -- The same data set may come again after another variant of its UID, and then it is the newest one.
        DROP INDEX instanceSame;
        CREATE INDEX instanceUID ON instance (sopInstanceUID);

        -- JSON: the keyword of an attribute, and a keyed hash of its value. Rows of older versions do not have it.
        ALTER TABLE instanceHeader ADD COLUMN attributes BLOB;
        """
}
