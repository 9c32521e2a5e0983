// SPDX-License-Identifier: Apache-2.0
//
// Results of low confidence: jobs say so, and deliveries can be held back. SQLite cannot change a CHECK, so the table
// of deliveries is made anew.

enum Migration2 {
    static let name = "2"

    static let sql = """
        ALTER TABLE job ADD COLUMN lowConfidence INTEGER NOT NULL DEFAULT 0;
        CREATE INDEX jobLowConfidence ON job (lowConfidence) WHERE lowConfidence = 1;

        CREATE TABLE newDelivery (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            jobId INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
            derivedInstanceId INTEGER NOT NULL REFERENCES derivedInstance (id),
            peer TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('pending', 'held', 'sent', 'dead', 'superseded', 'dropped')),
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
        INSERT INTO newDelivery SELECT id, jobId, derivedInstanceId, peer, state, attempts, tried, memory, why, status,
            queuedAt, changedAt, sentAt FROM delivery;
        DROP TABLE delivery;
        ALTER TABLE newDelivery RENAME TO delivery;
        CREATE INDEX deliveryState ON delivery (state);
        CREATE INDEX deliveryJob ON delivery (jobId);
        """
}
