// SPDX-License-Identifier: Apache-2.0

import DICOM
import Synchronization

/// Decides which rejections go into the log and the trail: anybody can be rejected a thousand times a second, and that
/// must not fill the disk. The first of its kind does, and then one a minute.
final class RejectionLedger: Sendable {
    struct Caller: Hashable {
        let address: IPAddress
        let aeTitle: AETitle?
        let result: UInt8
        let source: UInt8
        let reason: UInt8

        init(address: IPAddress, aeTitle: AETitle?, rejection: AssociationRejection) {
            self.address = address
            self.aeTitle = aeTitle
            result = rejection.result
            source = rejection.source
            reason = rejection.reason
        }
    }

    static let interval: Duration = .seconds(60)
    /// Kinds that are told apart within an interval; beyond them, nothing is recorded until it is over.
    static let capacity = 64

    private let recorded = Mutex<[Caller: Duration]>([:])

    /// - Parameter now: a monotonic reading.
    func isWorthRecording(_ caller: Caller, at now: Duration) -> Bool {
        recorded.withLock { recorded in
            recorded = recorded.filter { now - $0.value < Self.interval }
            guard recorded[caller] == nil, recorded.count < Self.capacity else { return false }
            recorded[caller] = now
            return true
        }
    }
}
