// SPDX-License-Identifier: Apache-2.0
//
// The first schema. Released migrations are never edited.

enum Migration1 {
    static let name = "1"

    static let sql = """
        CREATE TABLE association (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uuid TEXT NOT NULL UNIQUE,
            callingAETitle TEXT NOT NULL,
            calledAETitle TEXT NOT NULL,
            address TEXT NOT NULL,
            peer TEXT NOT NULL,
            openedAt INTEGER NOT NULL
        ) STRICT;

        -- An instance as received. `confirmed`: its file was on disk when it was acknowledged; the flag is written with
        -- some later transaction, so a row without it is checked at the next start.
        CREATE TABLE instance (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            associationId INTEGER NOT NULL REFERENCES association (id),
            sopClassUID TEXT NOT NULL,
            sopInstanceUID TEXT NOT NULL,
            transferSyntaxUID TEXT NOT NULL,
            sha256 BLOB NOT NULL,
            size INTEGER NOT NULL,
            headerSize INTEGER NOT NULL,
            folder TEXT NOT NULL,
            file TEXT NOT NULL,
            receivedAt INTEGER NOT NULL,
            changedAt INTEGER NOT NULL,
            confirmed INTEGER NOT NULL DEFAULT 0,
            state TEXT NOT NULL CHECK (state IN ('received', 'indexed', 'own', 'notAnImage', 'quarantined')),
            why TEXT,
            seriesId INTEGER REFERENCES series (id),
            joinedRevision INTEGER,
            isCurrent INTEGER NOT NULL DEFAULT 0,
            imageDigest TEXT
        ) STRICT;
        CREATE UNIQUE INDEX instanceSame ON instance (sopInstanceUID, transferSyntaxUID, sha256);
        CREATE INDEX instanceState ON instance (state);
        CREATE INDEX instanceFolder ON instance (folder);
        CREATE INDEX instanceSeries ON instance (seriesId) WHERE seriesId IS NOT NULL;
        CREATE INDEX instanceAssociation ON instance (associationId);

        CREATE TABLE instanceHeader (
            instanceId INTEGER PRIMARY KEY REFERENCES instance (id) ON DELETE CASCADE,
            header BLOB NOT NULL
        ) STRICT;

        -- `received` grows with every instance that joins, so that whoever closes a series notices a newcomer.
        CREATE TABLE series (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            studyInstanceUID TEXT NOT NULL,
            seriesInstanceUID TEXT NOT NULL,
            modality TEXT,
            revision INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
            received INTEGER NOT NULL,
            lastInstanceId INTEGER NOT NULL,
            openedAt INTEGER NOT NULL,
            changedAt INTEGER NOT NULL,
            UNIQUE (studyInstanceUID, seriesInstanceUID)
        ) STRICT;
        CREATE INDEX seriesState ON series (state);

        CREATE TABLE stack (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            seriesId INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
            revision INTEGER NOT NULL,
            key TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('routed', 'unmatched', 'undetermined', 'unfit')),
            why TEXT,
            route TEXT,
            segmenter TEXT,
            configurationHash TEXT,
            decision BLOB NOT NULL,
            changedAt INTEGER NOT NULL,
            UNIQUE (seriesId, revision, key)
        ) STRICT;
        CREATE INDEX stackState ON stack (state);

        CREATE TABLE stackInstance (
            stackId INTEGER NOT NULL REFERENCES stack (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            instanceId INTEGER NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
            PRIMARY KEY (stackId, position)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX stackInstanceInstance ON stackInstance (instanceId);

        CREATE TABLE job (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            stackId INTEGER NOT NULL REFERENCES stack (id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'dead', 'superseded')),
            payload BLOB NOT NULL,
            run TEXT,
            attempts INTEGER NOT NULL,
            why TEXT,
            outcome TEXT,
            confidence REAL,
            queuedAt INTEGER NOT NULL,
            changedAt INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX jobState ON job (state);
        CREATE INDEX jobStack ON job (stackId);

        -- An object that we made. The row outlives its job and its file: our own work is known when it comes back.
        CREATE TABLE derivedInstance (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            jobId INTEGER REFERENCES job (id) ON DELETE SET NULL,
            revision INTEGER NOT NULL,
            sopClassUID TEXT NOT NULL,
            sopInstanceUID TEXT NOT NULL UNIQUE,
            transferSyntaxUID TEXT NOT NULL,
            studyInstanceUID TEXT NOT NULL,
            seriesInstanceUID TEXT NOT NULL,
            viewerProfile TEXT NOT NULL,
            path TEXT,
            sha256 TEXT NOT NULL,
            size INTEGER NOT NULL,
            createdAt INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX derivedInstanceJob ON derivedInstance (jobId);
        CREATE UNIQUE INDEX derivedInstancePath ON derivedInstance (path) WHERE path IS NOT NULL;

        -- `tried`: seconds by the sender's monotonic clock.
        CREATE TABLE delivery (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            jobId INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
            derivedInstanceId INTEGER NOT NULL REFERENCES derivedInstance (id),
            peer TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'dead', 'superseded')),
            attempts INTEGER NOT NULL,
            tried REAL NOT NULL,
            memory BLOB,
            why TEXT,
            status INTEGER,
            queuedAt INTEGER NOT NULL,
            changedAt INTEGER NOT NULL,
            sentAt INTEGER,
            UNIQUE (derivedInstanceId, peer)
        ) STRICT;
        CREATE INDEX deliveryState ON delivery (state);
        CREATE INDEX deliveryJob ON delivery (jobId);

        CREATE TABLE configuration (
            hash TEXT PRIMARY KEY,
            text BLOB NOT NULL,
            firstUsedAt INTEGER NOT NULL
        ) STRICT;

        CREATE TABLE studySubject (
            studyInstanceUID TEXT PRIMARY KEY,
            subject TEXT NOT NULL
        ) STRICT;

        CREATE TABLE audit (
            number INTEGER PRIMARY KEY,
            format INTEGER NOT NULL,
            time INTEGER NOT NULL,
            event TEXT NOT NULL,
            aeTitle TEXT,
            address TEXT,
            certificate TEXT,
            user TEXT,
            study TEXT,
            series TEXT,
            revision INTEGER,
            job INTEGER,
            instancesIn TEXT,
            instancesOut TEXT,
            predecessors TEXT,
            count INTEGER,
            route TEXT,
            configurationHash TEXT,
            segmenter TEXT,
            segmenterVersion TEXT,
            weightsHash TEXT,
            confidence REAL,
            outcome TEXT NOT NULL,
            reason TEXT,
            previousHash TEXT NOT NULL,
            hash TEXT NOT NULL
        ) STRICT;
        CREATE INDEX auditStudy ON audit (study) WHERE study IS NOT NULL;

        CREATE TABLE auditSegment (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            month TEXT NOT NULL,
            firstNumber INTEGER NOT NULL,
            previousHash TEXT NOT NULL,
            lastNumber INTEGER,
            head TEXT,
            exportedAt INTEGER,
            droppedAt INTEGER
        ) STRICT;

        CREATE TRIGGER auditNoUpdate BEFORE UPDATE ON audit BEGIN
            SELECT RAISE(ABORT, 'the audit trail is append-only');
        END;
        CREATE TRIGGER auditNoDelete BEFORE DELETE ON audit
        WHEN NOT EXISTS (
            SELECT 1 FROM auditSegment
            WHERE droppedAt IS NOT NULL AND exportedAt IS NOT NULL AND OLD.number BETWEEN firstNumber AND lastNumber
        ) BEGIN
            SELECT RAISE(ABORT, 'the audit trail is append-only');
        END;
        CREATE TRIGGER auditSegmentNoDelete BEFORE DELETE ON auditSegment BEGIN
            SELECT RAISE(ABORT, 'the audit trail is append-only');
        END;
        """
}
