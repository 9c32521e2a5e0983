// SPDX-License-Identifier: Apache-2.0
//
// The node's own time, on which keep times count; acknowledgements that renew a keep time; offers to peers; and files
// that are about to be removed.

enum Migration5 {
    static let name = "5"

    static let sql = """
        -- The newest note of the clocks; `NodeTime` explains the columns. Times are microseconds. A spool of an older
        -- version begins at its newest record.
        CREATE TABLE clock (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            start INTEGER NOT NULL,
            boot TEXT NOT NULL,
            sinceBoot INTEGER NOT NULL,
            wall INTEGER NOT NULL,
            lived INTEGER NOT NULL,
            ran INTEGER NOT NULL
        ) STRICT;

        -- From `fromLived` on, the wall clock was ahead of the time lived by `ahead`.
        CREATE TABLE clockSpan (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            start INTEGER NOT NULL,
            fromLived INTEGER NOT NULL,
            ahead INTEGER NOT NULL
        ) STRICT;

        -- A jump of the wall clock. It holds deletion until `endedAt` is set. `uncounted`: time that the node may have
        -- been off and that does not count as lived, since `spanId`.
        CREATE TABLE clockJump (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            spanId INTEGER NOT NULL REFERENCES clockSpan (id),
            noticedAt INTEGER NOT NULL,
            ran INTEGER NOT NULL,
            difference INTEGER NOT NULL,
            uncounted INTEGER NOT NULL,
            confirmedAt INTEGER,
            wasOff INTEGER NOT NULL DEFAULT 0,
            endedAt INTEGER
        ) STRICT;
        CREATE INDEX clockJumpOpen ON clockJump (id) WHERE endedAt IS NULL;

        -- A database that was older than the spool's files.
        CREATE INDEX auditDatabaseBehind ON audit (number) WHERE event = 'databaseBehind';

        INSERT INTO clock (id, start, boot, sinceBoot, wall, lived, ran)
            SELECT 1, 0, '', 0, time, time, 0 FROM audit ORDER BY number DESC LIMIT 1;
        INSERT INTO clockSpan (start, fromLived, ahead) VALUES (0, 0, 0);

        -- `renewedAt`: an instance that was stored before was acknowledged again.
        ALTER TABLE instance ADD COLUMN renewedAt INTEGER;
        ALTER TABLE series ADD COLUMN renewedAt INTEGER;
        ALTER TABLE delivery ADD COLUMN offeredAt INTEGER;

        -- Stored paths of files whose rows are gone, and that are removed next.
        CREATE TABLE discard (
            path TEXT PRIMARY KEY
        ) STRICT, WITHOUT ROWID;
        """
}
