// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

/// Kills a receiving process at its n-th durable call, and examines the spool that it leaves.
///
/// The process is another run of this test bundle. It runs only ``receives until it is killed``, which acts as the node.
@Suite(.serialized) struct `Killed while receiving` {
    private static let variable = "KONTUR_TEST_KILL"

    @Test(arguments: 0..<24)
    func `a process that is killed at a durable call has lost nothing that it acknowledged`(_ n: Int) async throws {
        let path = TestNode.temporary()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let killed = try await blocking { try Self.run(path: path, killAt: 12 + n * 3) }
        #expect(killed, "the process was to be killed")
        try await blocking {
            let text = (try? String(contentsOfFile: path + ".acknowledged", encoding: .utf8)) ?? ""
            try? FileManager.default.removeItem(atPath: path + ".acknowledged")
            let acknowledged = Set(text.split(separator: "\n").map(String.init))
            let node = try TestNode(path: path)
            let found = try node.received()
            #expect(acknowledged.isSubset(of: found.map(\.sopInstanceUID)))
            #expect(found.count == node.files("instances").count)
            for instance in found {
                let bytes = try Data(contentsOf: URL(fileURLWithPath: instance.path))
                #expect(bytes == Data(("header" + instance.sopInstanceUID).utf8))
            }
            #expect(try AuditTrail(journal: node.journal).verify().isWhole)
        }
    }

    /// Whether the child killed itself at call `killAt`.
    private static func run(path: String, killAt: Int) throws -> Bool {
        let child = Process()
        child.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        child.arguments = ["--testing-library", "swift-testing", "--filter", "receives until it is killed"]
        child.environment = ProcessInfo.processInfo.environment.merging([variable: "\(killAt) \(path)"]) { $1 }
        child.standardOutput = FileHandle.nullDevice
        child.standardError = FileHandle.nullDevice
        try child.run()
        let deadline = ContinuousClock.now + .seconds(60)
        while child.isRunning, ContinuousClock.now < deadline { usleep(5_000) }
        if child.isRunning { kill(child.processIdentifier, SIGKILL) }
        child.waitUntilExit()
        return child.terminationReason == .uncaughtSignal && ContinuousClock.now < deadline
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment[variable] != nil, "runs in the process that is killed"))
    func `receives until it is killed`() async throws {
        let words = (ProcessInfo.processInfo.environment[Self.variable] ?? "").split(separator: " ", maxSplits: 1)
        let (killAt, path) = (Int(words[0]) ?? 0, String(words[1]))
        try await blocking {
            let watched = WatchedCalls()
            let node = try TestNode(path: path, calls: watched.calls)
            // Odd numbers kill before the call, even numbers after it.
            watched.watch(
                before: { _, count in if killAt % 2 == 1 && count >= killAt { kill(getpid(), SIGKILL) } },
                after: { _, count in if killAt % 2 == 0 && count >= killAt { kill(getpid(), SIGKILL) } })
            let log = open(path + ".acknowledged", O_WRONLY | O_CREAT | O_APPEND, 0o600)
            concurrently(2) { thread in
                let association = TestNode.association()
                for index in 0..<200 {
                    let uid = "1.\(thread).\(index)"
                    guard (try? node.receive(uid, Array(uid.utf8), over: association)) != nil else { return }
                    let line = Array((uid + "\n").utf8)
                    _ = write(log, line, line.count)
                }
            }
        }
    }
}
