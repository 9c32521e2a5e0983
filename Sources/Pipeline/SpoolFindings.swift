// SPDX-License-Identifier: Apache-2.0
//
// The start of a node puts its spool in order. The journal reads the File Meta Information that Kontur wrote itself,
// and the log says what was found.

import DICOM
import Foundation
import Logging
import Persistence

extension FileMeta {
    /// Reads the File Meta Information of a stored file for its adoption.
    static let facts: StoredFileFacts.Reader = { head in
        guard let (meta, offset) = try? FileMeta.read(head) else { return nil }
        return StoredFileFacts(
            sopClassUID: meta.sopClassUID, sopInstanceUID: meta.sopInstanceUID,
            transferSyntaxUID: meta.transferSyntaxUID, sourceAETitle: meta.sourceAETitle?.text,
            headerSize: Int64(offset))
    }
}

extension RecoveryReport {
    /// Logs each finding that an operator has to know.
    func log(to logger: Logger) {
        if let databaseBehind {
            logger.error(
                "the database does not fit the spool's files; put the right copy back, or keep the adopted files",
                metadata: ["reason": "\(databaseBehind)"])
        }
        if adopted + adoptedObjects > 0 {
            logger.warning(
                "files without rows adopted",
                metadata: ["spool.instances": "\(adopted)", "spool.objects": "\(adoptedObjects)"])
        }
        if quarantined > 0 {
            logger.warning(
                "files without rows moved to quarantine", metadata: ["spool.files": "\(quarantined)"])
        }
        if neverAcknowledged > 0 {
            logger.info(
                "instances that were never acknowledged removed", metadata: ["spool.instances": "\(neverAcknowledged)"])
        }
        if lost > 0 {
            logger.error(
                "files of acknowledged instances are missing or changed; send these instances again",
                metadata: ["spool.instances": "\(lost)"])
        }
        if unreadable > 0 {
            logger.error(
                "files or folders of the spool cannot be read and stay as they are; check the disk, and start again",
                metadata: ["spool.files": "\(unreadable)", "error": "\(readError ?? "")"])
        }
        if !links.isEmpty {
            logger.error(
                "symbolic links or files in the place of the spool's folders are not used; put the folders back",
                metadata: ["spool.links": "\(links.joined(separator: ","))"])
        }
        if strays > 0 {
            logger.warning(
                "files or folders in the spool are not Kontur's and stay as they are",
                metadata: ["spool.strays": "\(strays)"])
        }
    }
}
