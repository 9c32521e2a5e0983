// SPDX-License-Identifier: Apache-2.0
//
// Storage commitment: deliveries that a peer has to commit itself to, requests to peers, and requests of peers with the
// reports that answer them. SQLite cannot change a CHECK, so the table of deliveries is made anew.

enum Migration7 {
    static let name = "7"

    static let sql = """
        -- A request to a peer. `confirmed`: the peer has taken the request. `deadline`: time lived, in microseconds.
        CREATE TABLE commitmentRequest (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            transactionUID TEXT NOT NULL UNIQUE,
            peer TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('asked', 'answered', 'expired')),
            why TEXT,
            confirmed INTEGER NOT NULL DEFAULT 0,
            deadline INTEGER NOT NULL,
            askedAt INTEGER NOT NULL,
            changedAt INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX commitmentRequestOpen ON commitmentRequest (deadline) WHERE state = 'asked';

        -- `commitBy`: the delivery is closed once the peer has committed itself to keep the object; time lived, in
        -- microseconds, after which the next failure gives the delivery up. `askAfter`: time lived, too.
        -- `commitmentRequestId`: the newest request about the object; no value while a request has to be made.
        -- `unanswered`: requests in a row that did not lead to an answer. `losses`: how often the peer said that it does
        -- not have the object.
        CREATE TABLE newDelivery (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            jobId INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
            derivedInstanceId INTEGER NOT NULL REFERENCES derivedInstance (id),
            peer TEXT NOT NULL,
            state TEXT NOT NULL
                CHECK (state IN ('pending', 'held', 'sent', 'committed', 'dead', 'superseded', 'dropped')),
            attempts INTEGER NOT NULL,
            tried REAL NOT NULL,
            memory BLOB,
            why TEXT,
            status INTEGER,
            queuedAt INTEGER NOT NULL,
            changedAt INTEGER NOT NULL,
            sentAt INTEGER,
            offeredAt INTEGER,
            commitBy INTEGER,
            commitmentRequestId INTEGER REFERENCES commitmentRequest (id) ON DELETE SET NULL,
            askAfter INTEGER NOT NULL DEFAULT 0,
            unanswered INTEGER NOT NULL DEFAULT 0,
            losses INTEGER NOT NULL DEFAULT 0,
            committedAt INTEGER,
            UNIQUE (derivedInstanceId, peer)
        ) STRICT;
        INSERT INTO newDelivery (id, jobId, derivedInstanceId, peer, state, attempts, tried, memory, why, status, queuedAt,
                changedAt, sentAt, offeredAt)
            SELECT id, jobId, derivedInstanceId, peer, state, attempts, tried, memory, why, status, queuedAt, changedAt,
                sentAt, offeredAt FROM delivery;
        DELETE FROM sqlite_sequence WHERE name = 'newDelivery';
        INSERT INTO sqlite_sequence (name, seq) SELECT 'newDelivery', seq FROM sqlite_sequence WHERE name = 'delivery';
        DROP TABLE delivery;
        ALTER TABLE newDelivery RENAME TO delivery;
        CREATE INDEX deliveryState ON delivery (state);
        CREATE INDEX deliveryJob ON delivery (jobId);
        CREATE INDEX deliveryPending ON delivery (peer) WHERE state = 'pending';
        CREATE INDEX deliveryUncommitted ON delivery (peer, commitmentRequestId, askAfter)
            WHERE state = 'sent' AND commitBy IS NOT NULL;
        CREATE INDEX deliveryRequest ON delivery (commitmentRequestId) WHERE commitmentRequestId IS NOT NULL;

        -- The deliveries that a request is about. An object that is sent again leaves the requests of before.
        CREATE TABLE commitmentReference (
            requestId INTEGER NOT NULL REFERENCES commitmentRequest (id) ON DELETE CASCADE,
            deliveryId INTEGER NOT NULL REFERENCES delivery (id) ON DELETE CASCADE,
            PRIMARY KEY (requestId, deliveryId)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX commitmentReferenceDelivery ON commitmentReference (deliveryId);

        -- A request of a peer and the report that answers it. `digest`: SHA-256 of the references, which are deleted once
        -- the report is over. `dueAfter`, `giveUpAfter`: time lived, in microseconds.
        CREATE TABLE commitmentReport (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            transactionUID TEXT NOT NULL,
            peer TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('received', 'answered', 'reported', 'undeliverable')),
            why TEXT,
            digest BLOB NOT NULL,
            attempts INTEGER NOT NULL,
            dueAfter INTEGER NOT NULL,
            giveUpAfter INTEGER NOT NULL,
            receivedAt INTEGER NOT NULL,
            changedAt INTEGER NOT NULL,
            UNIQUE (peer, transactionUID)
        ) STRICT;
        CREATE INDEX commitmentReportOpen ON commitmentReport (peer, dueAfter) WHERE state IN ('received', 'answered');
        CREATE INDEX commitmentReportState ON commitmentReport (state);

        -- `failure`: 0 if the node keeps the instance, otherwise Failure Reason; no value before the first answer.
        CREATE TABLE commitmentReportItem (
            reportId INTEGER NOT NULL REFERENCES commitmentReport (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            sopClassUID TEXT NOT NULL,
            sopInstanceUID TEXT NOT NULL,
            failure INTEGER,
            PRIMARY KEY (reportId, position)
        ) STRICT, WITHOUT ROWID;
        """
}
