// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform

/// Blocking calls for tests that play a peer.
extension StreamSocket {
    /// The connection failed, or nothing came for a minute.
    struct Broken: Error {}

    /// Reads bytes.
    ///
    /// - Returns: `nil` if the other side closed the connection before them.
    func bytes(_ count: Int) throws -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            var entries = [PollEntry(descriptor, reading: true)]
            guard Polling.wait(&entries, atMost: .seconds(60)) else { throw Broken() }
            let result = bytes.withUnsafeMutableBytes {
                readAvailable(into: UnsafeMutableRawBufferPointer(rebasing: $0[done...]))
            }
            switch result {
            case .bytes(let got): done += got
            case .wouldBlock: continue
            case .end: return nil
            }
        }
        return bytes
    }

    /// Sends all bytes.
    func say(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { throw Broken() }
            rest = rest.dropFirst(sent)
        }
    }
}
