// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

@Suite(.serialized) struct `Throughput of the journal` {
    @Test(
        .enabled(if: ProcessInfo.processInfo.environment["KONTUR_MEASURE"] != nil, "set KONTUR_MEASURE to measure"),
        arguments: [1, 4], [52_000, 131_072])
    func `instances a second`(_ associations: Int, _ size: Int) async throws {
        try await blocking {
            let node = try TestNode()
            let count = 1000 / associations
            let start = ContinuousClock.now
            concurrently(associations) { thread in
                let association = TestNode.association()
                var bytes = [UInt8](repeating: 7, count: size)
                for index in 0..<count {
                    withUnsafeBytes(of: index) { bytes.replaceSubrange(0..<8, with: $0) }
                    _ = try? node.receive("1.2.826.0.1.3680043.\(thread).\(index)", bytes, over: association)
                }
            }
            let took = (ContinuousClock.now - start) / .seconds(1)
            #expect(try node.count(.received) == count * associations)
            print("\(associations) associations, \(size) bytes: \(Int(Double(count * associations) / took)) a second")
        }
    }
}
