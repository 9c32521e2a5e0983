// SPDX-License-Identifier: Apache-2.0
//
// Backlogs: the payload of a job has a table of its own, so that a list of jobs does not pass 100 KB per row, and pending
// deliveries are found by peer.

enum Migration6 {
    static let name = "6"

    static let sql = """
        CREATE TABLE jobPayload (
            jobId INTEGER PRIMARY KEY REFERENCES job (id) ON DELETE CASCADE,
            payload BLOB NOT NULL
        ) STRICT;
        INSERT INTO jobPayload (jobId, payload) SELECT id, payload FROM job;
        ALTER TABLE job DROP COLUMN payload;

        CREATE INDEX deliveryPending ON delivery (peer) WHERE state = 'pending';
        """
}
