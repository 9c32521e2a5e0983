// SPDX-License-Identifier: Apache-2.0
//
// The PDUs that the node writes itself (PS3.8 9.3.4 and 9.3.8): the rejection of a caller for whom no receiver is used,
// and the abort of an association whose receiver is gone. The node reads the fixed fields of A-ASSOCIATE-RQ (9.3.2) to
// know who calls. DCMTK reads and writes every other PDU.

import DICOM

/// The fixed fields of an A-ASSOCIATE-RQ (PS3.8 table 9-11).
struct RequestHead {
    /// Bytes of a PDU's type, reserved byte and length.
    static let pduHeader = 6
    /// The PDU type of an A-ASSOCIATE-RQ.
    static let type: UInt8 = 0x01
    /// Bytes of the PDU to the end of the calling AE title.
    private static let length = 42

    /// Whether bit 0 of the protocol version is set, which stands for version 1.
    let isVersion1: Bool
    /// `nil` if the field does not hold an AE title.
    let calledAETitle: AETitle?
    /// `nil` if the field does not hold an AE title.
    let callingAETitle: AETitle?

    /// The result is `nil` if the PDU is too short for its AE titles.
    ///
    /// - Parameter pdu: the whole A-ASSOCIATE-RQ.
    init?(_ pdu: [UInt8]) {
        guard pdu.count >= Self.length else { return nil }
        isVersion1 = pdu[7] & 1 == 1
        calledAETitle = AETitle(bytes: Array(pdu[10..<26]))
        callingAETitle = AETitle(bytes: Array(pdu[26..<42]))
    }
}

extension AssociationRejection {
    /// The whole A-ASSOCIATE-RJ.
    package var encoded: [UInt8] { [0x03, 0, 0, 0, 0, 4, 0, result, source, reason] }
}

extension AssociationAbort {
    /// The node ends an association by itself: provider abort, without a reason (2/0).
    static let byProvider = AssociationAbort(by: .us, source: 2, reason: 0)

    /// The whole A-ABORT.
    package var encoded: [UInt8] { [0x07, 0, 0, 0, 0, 4, 0, 0, source, reason] }
}
