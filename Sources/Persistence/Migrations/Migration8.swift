// SPDX-License-Identifier: Apache-2.0
//
// Kinds of objects: a job makes SEGs, reports and pictures. The name of a SEG's kind is that of its viewer profile.

enum Migration8 {
    static let name = "8"

    static let sql = """
        ALTER TABLE derivedInstance RENAME COLUMN viewerProfile TO kind;
        """
}
