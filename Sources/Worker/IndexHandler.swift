// SPDX-License-Identifier: Apache-2.0

import DICOM
import Supervision

/// Reads the header of one received file.
struct IndexHandler: RequestHandler {
    mutating func answer(_ request: WorkRequest, progress: (WorkProgress) -> Void) -> WorkResponse {
        guard case .index(let request) = request else { return .failed(reason: "this worker only indexes") }
        let header: InstanceHeader
        do {
            header = try InstanceHeader.read(path: request.path)
        } catch {
            return .quarantine(reason: "\(error)")
        }
        // PS3.7 9.1.1.1: the command's Affected SOP Class and Instance UID are those of the data set.
        if let expected = request.sopInstanceUID, expected != header.sopInstanceUID {
            return .quarantine(reason: "SOP Instance UID differs from that of the C-STORE command")
        }
        if let expected = request.sopClassUID, expected != header.sopClassUID {
            return .quarantine(reason: "SOP Class UID differs from that of the C-STORE command")
        }
        return .indexed(header: header)
    }
}
