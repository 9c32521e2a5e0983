// SPDX-License-Identifier: Apache-2.0
//
// What an object was made of and written with. The columns outlive the job and the series of the object: whoever makes
// it again can write the same bytes, and knows the objects that a newer one replaces.

enum Migration4 {
    static let name = "4"

    static let sql = """
        -- `description`: encoded by the writer of the object. `answerKey`: equal for objects of one answer, whatever
        -- else they say. `isSent`: at least one peer has the object.
        ALTER TABLE derivedInstance ADD COLUMN sourceSeriesInstanceUID TEXT;
        ALTER TABLE derivedInstance ADD COLUMN stackKey TEXT;
        ALTER TABLE derivedInstance ADD COLUMN segmenter TEXT;
        ALTER TABLE derivedInstance ADD COLUMN description BLOB;
        ALTER TABLE derivedInstance ADD COLUMN answerKey TEXT;
        ALTER TABLE derivedInstance ADD COLUMN confidence REAL;
        ALTER TABLE derivedInstance ADD COLUMN isSent INTEGER NOT NULL DEFAULT 0;

        UPDATE derivedInstance SET
            (sourceSeriesInstanceUID, stackKey, segmenter, confidence) = (
                SELECT s.seriesInstanceUID, k.key, k.segmenter, j.confidence
                FROM job j JOIN stack k ON k.id = j.stackId JOIN series s ON s.id = k.seriesId
                WHERE j.id = derivedInstance.jobId),
            isSent = EXISTS (
                SELECT 1 FROM delivery v WHERE v.derivedInstanceId = derivedInstance.id AND v.sentAt IS NOT NULL);

        CREATE INDEX derivedInstanceSource ON derivedInstance (sourceSeriesInstanceUID)
            WHERE sourceSeriesInstanceUID IS NOT NULL;
        CREATE INDEX derivedInstanceAnswer ON derivedInstance (answerKey) WHERE answerKey IS NOT NULL;
        """
}
