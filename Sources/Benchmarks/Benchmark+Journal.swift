// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import Persistence

extension Benchmark {
    /// Instances that the journal makes durable: by one thread, and by four threads that share commits.
    static let journal: [Benchmark] = [
        Benchmark(name: "journal, 1 thread", unit: "instances per second", atLeast: 60) {
            try JournalLoad.commit(threads: 1)
        },
        Benchmark(name: "journal, 4 threads", unit: "instances per second", atLeast: 100) {
            try JournalLoad.commit(threads: 4)
        },
    ]
}

/// The load of the journal's benchmarks: small instances, as a scanner sends them.
private enum JournalLoad {
    /// The number of instances per run.
    private static let instances = 200
    /// The bytes of an instance.
    private static let size = 52_488

    /// Stores and commits all instances in a new spool; returns their number.
    static func commit(threads: Int) throws -> Double {
        let folder = FileManager.default.temporaryDirectory.appending(path: "kontur-bench-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let spool = try Spool(
            SpoolConfiguration(path: folder.path, minimumFree: 1 << 20), access: .node(name: "benchmark"))
        let journal = try Journal(spool: spool)
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            do {
                for number in 0..<instances / threads { try store(journal, thread, number) }
            } catch {
                fatalError("the journal refused an instance: \(error)")
            }
        }
        return Double(instances)
    }

    private static func store(_ journal: Journal, _ thread: Int, _ number: Int) throws {
        let file = try journal.spool.incomingFile(now: Date())
        var data = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size)
        data[0] = UInt8(truncatingIfNeeded: thread)
        try data.withUnsafeBytes { try file.append($0) }
        _ = try journal.commit(
            file,
            IncomingInstance(
                sopClassUID: "1.2.840.10008.5.1.4.1.1.7", sopInstanceUID: "2.25.\(thread)\(number)",
                transferSyntaxUID: "1.2.840.10008.1.2.1",
                association: AssociationFacts(
                    id: association, callingAETitle: "BENCH", calledAETitle: "KONTUR", address: "127.0.0.1",
                    peer: "bench")))
    }

    private static let association = UUID()
}
