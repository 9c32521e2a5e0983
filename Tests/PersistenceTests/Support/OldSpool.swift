// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence

/// A spool as an older version of Kontur left it.
///
/// Study 1.2 has a closed series with instance 1.1, whose object waits to be sent, and an open series with instance 1.2.
/// Instance 1.9 waits to be indexed. Series 3 to 7 were deleted.
final class OldSpool: Sendable {
    let path = TestNode.temporary()

    /// Makes the spool.
    ///
    /// - Parameter schema: the number of the last migration of that version.
    init(schema: Int) throws {
        // The node makes the folders and the key.
        do { _ = try TestNode(path: path) }
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: path + "/kontur.sqlite" + suffix)
        }
        try JournalDatabase.make(path + "/kontur.sqlite", schema: schema)
        let folder = "instances/2026-01-02/03"
        try FileManager.default.createDirectory(atPath: path + "/" + folder, withIntermediateDirectories: true)
        for file in ["\(folder)/a", "\(folder)/b", "\(folder)/c", "derived/2026-01-02/2.25.1"] {
            try FileManager.default.createDirectory(
                atPath: ((path + "/" + file) as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try Data("data".utf8).write(to: URL(fileURLWithPath: path + "/" + file))
        }
        let queue = try DatabaseQueue(path: path + "/kontur.sqlite")
        try queue.write { try $0.execute(sql: Self.rows(folder, schema)) }
        try queue.close()
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The rows of a spool; the payload of a job has a table of its own from schema 6 on.
    private static func rows(_ folder: String, _ schema: Int) -> String {
        let (column, value) = schema < 6 ? ("payload, ", "x'', ") : ("", "")
        let payload = schema < 6 ? "" : "INSERT INTO jobPayload (jobId, payload) VALUES (1, x'');"
        return """
            INSERT INTO association (uuid, callingAETitle, calledAETitle, address, peer, openedAt)
                VALUES ('5B0C6C0E-0F0A-4B53-9E1D-3F1F5C0A7F11', 'ENDO1', 'KONTUR', '10.1.0.7', 'scope', 1);
            INSERT INTO series (id, studyInstanceUID, seriesInstanceUID, modality, revision, state, received,
                lastInstanceId, openedAt, changedAt)
                VALUES (1, '1.2', '1.2.3', 'MR', 1, 'closed', 1, 1, 1, 1), (2, '1.2', '1.2.4', 'MR', 1, 'open', 1, 2, 1, 1),
                    (7, '1.2', '1.2.7', 'MR', 1, 'closed', 0, 0, 1, 1);
            DELETE FROM series WHERE id = 7;
            INSERT INTO instance (id, associationId, sopClassUID, sopInstanceUID, transferSyntaxUID, sha256, size,
                headerSize, folder, file, receivedAt, changedAt, confirmed, state, seriesId, joinedRevision, isCurrent,
                imageDigest)
                VALUES (1, 1, '\(TestNode.mrImage)', '1.1', '\(TestNode.explicitLittle)', x'01', 4, 0, '\(folder)', 'a', 1, 1, 1,
                    'indexed', 1, 1, 1, 'digest 1'),
                (2, 1, '\(TestNode.mrImage)', '1.2', '\(TestNode.explicitLittle)', x'02', 4, 0, '\(folder)', 'b', 1, 1, 1,
                    'indexed', 2, 1, 1, 'digest 2'),
                (3, 1, '\(TestNode.mrImage)', '1.9', '\(TestNode.explicitLittle)', x'03', 4, 0, '\(folder)', 'c', 1, 1, 1,
                    'received', NULL, NULL, 0, NULL);
            INSERT INTO instanceHeader (instanceId, header) VALUES (1, CAST('{}' AS BLOB)), (2, CAST('{}' AS BLOB));
            INSERT INTO stack (id, seriesId, revision, key, state, decision, changedAt)
                VALUES (1, 1, 1, 'stack', 'routed', x'', 1);
            INSERT INTO stackInstance (stackId, position, instanceId) VALUES (1, 0, 1);
            INSERT INTO job (id, stackId, kind, state, \(column)attempts, queuedAt, changedAt)
                VALUES (1, 1, 'segment', 'done', \(value)0, 1, 1);
            \(payload)
            INSERT INTO derivedInstance (id, jobId, revision, sopClassUID, sopInstanceUID, transferSyntaxUID,
                studyInstanceUID, seriesInstanceUID, viewerProfile, path, sha256, size, createdAt)
                VALUES (1, 1, 1, '1.2.840.10008.5.1.4.1.1.66.4', '2.25.1', '\(TestNode.explicitLittle)', '1.2', '2.25.2',
                    'strict', 'derived/2026-01-02/2.25.1', 'feed', 4, 1);
            INSERT INTO delivery (id, jobId, derivedInstanceId, peer, state, attempts, tried, queuedAt, changedAt)
                VALUES (1, 1, 1, 'archive', 'pending', 0, 0, 1, 1);
            """
    }
}
