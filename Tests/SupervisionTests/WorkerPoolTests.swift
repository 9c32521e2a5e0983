// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Logging
import Supervision
import Synchronization
import Testing

/// The pool against stand-ins for the worker: small scripts that misbehave in one way each.
@Suite(.serialized, .timeLimit(.minutes(2))) struct WorkerPoolTests {
    private static let answer = #"{"response":{"_0":{"quarantine":{"reason":"stand-in"}}}}"#
    private let request = WorkRequest.index(request: IndexRequest(path: "/nowhere"))

    /// Runs `body` with a pool whose worker is `script`, then checks that no process of the pool is left.
    private func withPool(
        _ script: String, limits: WorkerLimits = .index, indexWorkers: Int = 1, segmentWorkers: Int = 1,
        idle: Duration = .seconds(60),
        _ body: (WorkerPool, URL) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "kontur-pool-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let executable = folder.appending(path: "worker").path
        try "#!/bin/bash\necho $$ >> \(folder.path)/pids\n\(script)\n".write(
            toFile: executable, atomically: true, encoding: .utf8)
        chmod(executable, 0o700)
        let pool = WorkerPool(
            configuration: WorkerPoolConfiguration(
                executable: executable, indexWorkers: indexWorkers, segmentWorkers: segmentWorkers, threads: 1,
                printFolder: folder.path,
                indexLimits: limits, segmentLimits: limits, idle: idle),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        do {
            try await body(pool, folder)
        } catch {
            await pool.shutDown()
            throw error
        }
        await pool.shutDown()
        for pid in pids(folder) { #expect(kill(pid, 0) != 0, "worker \(pid) is left") }
    }

    private func pids(_ folder: URL) -> [Int32] {
        let text = (try? String(contentsOf: folder.appending(path: "pids"), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap { Int32($0) }
    }

    /// Untyped, for `#expect` does not see through typed throws.
    private func ask(_ pool: WorkerPool, _ request: WorkRequest) async throws -> WorkResult {
        try await pool.perform(request)
    }

    private func isAnswer(_ result: WorkResult) -> Bool {
        if case .response(.quarantine("stand-in")) = result { true } else { false }
    }

    private func death(_ result: WorkResult) -> WorkerDeath? {
        if case .workerDied(let death) = result { death } else { nil }
    }

    private func overrun(_ result: WorkResult) -> Overrun? {
        if case .overran(let overrun) = result { overrun } else { nil }
    }

    @Test func `a worker answers many requests`() async throws {
        try await withPool("while read line; do echo '\(Self.answer)'; done") { (pool, folder) async throws in
            for _ in 0..<20 { #expect(try await isAnswer(ask(pool, request))) }
            #expect(pids(folder).count == 1)
        }
    }

    @Test func `requests that follow each other need one worker, and requests at the same time need several`()
        async throws
    {
        let script = "while read line; do sleep 0.01; echo '\(Self.answer)'; done"
        try await withPool(script, indexWorkers: 3) { (pool, folder) async throws in
            for _ in 0..<50 { #expect(try await isAnswer(ask(pool, request))) }
            #expect(pids(folder).count == 1)
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<3 { group.addTask { _ = try? await pool.perform(request) } }
            }
            #expect(pids(folder).count == 3)
        }
    }

    @Test func `a worker leads a process group of its own and inherits nothing but its pipes`() async throws {
        let script = """
            read line
            names=(/proc/$$/fd/*)
            left=""
            # The folder itself was open while its names were read.
            for name in "${names[@]}"; do if [ -L "$name" ]; then left="$left ${name##*/}"; fi; done
            echo "$left" > "$(dirname $0)/fds"
            cut -d' ' -f5 /proc/$$/stat > "$(dirname $0)/group"
            cut -d' ' -f19 /proc/$$/stat > "$(dirname $0)/nice"
            echo '\(Self.answer)'
            read line
            """
        try await withPool(script) { (pool, folder) async throws in
            #expect(try await isAnswer(ask(pool, request)))
            func file(_ name: String) throws -> String {
                try String(contentsOf: folder.appending(path: name), encoding: .utf8)
                    .trimmingCharacters(in: .whitespacesAndNewlines)
            }
            // 255 is the script itself, which bash holds open.
            #expect(try file("fds").split(separator: " ").filter { $0 != "255" } == ["0", "1", "2"])
            #expect(try file("group") == String(pids(folder)[0]))
            #expect(try file("nice") == "10")
        }
    }

    @Test func `a crash is reported with its signal, and the next request gets a new worker`() async throws {
        let script =
            "read line; if [ ! -e \"$0.once\" ]; then touch \"$0.once\"; kill -SEGV $$; fi; echo '\(Self.answer)'; read line"
        try await withPool(script) { (pool, folder) async throws in
            #expect(try await death(ask(pool, request)) == .signalled(SIGSEGV))
            #expect(try await isAnswer(ask(pool, request)))
            #expect(pids(folder).count == 2)
        }
    }

    @Test func `an exit is reported with its code`() async throws {
        try await withPool("read line; exit 7") { (pool, _) async throws in
            let end = try await death(ask(pool, request))
            #expect(end == .exited(7))
            #expect(end?.isFromOutside == false)
        }
    }

    @Test func `a kill from outside is distinguished from a crash`() async throws {
        try await withPool("read line; kill -KILL $$") { (pool, _) async throws in
            let end = try await death(ask(pool, request))
            #expect(end?.isFromOutside == true)
        }
    }

    @Test func `a worker that died while it was idle is replaced silently`() async throws {
        try await withPool("read line; echo '\(Self.answer)'; exit 0") { (pool, folder) async throws in
            #expect(try await isAnswer(ask(pool, request)))
            try await Task.sleep(for: .milliseconds(300))
            #expect(try await isAnswer(ask(pool, request)))
            #expect(pids(folder).count == 2)
        }
    }

    @Test func `silence ends in an overrun and progress puts it off`() async throws {
        let limits = WorkerLimits(
            memory: 1 << 30, silence: .milliseconds(700), processorTime: .seconds(60), memoryMark: 1 << 30)
        let progress = #"{"progress":{"_0":{"phase":"segmenting","done":1,"total":5}}}"#
        let script = "read line; for i in 1 2 3 4; do sleep 0.4; echo '\(progress)'; done; sleep 60"
        try await withPool(script, limits: limits) { (pool, _) async throws in
            let seen = Mutex(0)
            let start = ContinuousClock.now
            let result = try await pool.perform(request) { _ in seen.withLock { $0 += 1 } }
            #expect(overrun(result) == .silence)
            #expect(seen.withLock { $0 } == 4)
            #expect(ContinuousClock.now - start > .milliseconds(2000))
        }
    }

    @Test func `memory over the limit ends in an overrun`() async throws {
        let limits = WorkerLimits(
            memory: 64 << 20, silence: .seconds(60), processorTime: .seconds(60), memoryMark: 1 << 30)
        let script = "exec python3 -c 'import sys,time; sys.stdin.readline(); x = bytearray(200 << 20); time.sleep(60)'"
        try await withPool(script, limits: limits) { (pool, _) async throws in
            #expect(try await overrun(ask(pool, request)) == .memory)
        }
    }

    @Test func `processor time over the limit ends in an overrun`() async throws {
        let limits = WorkerLimits(
            memory: 1 << 30, silence: .seconds(60), processorTime: .milliseconds(500), memoryMark: 1 << 30)
        try await withPool("read line; while :; do :; done", limits: limits) { (pool, _) async throws in
            #expect(try await overrun(ask(pool, request)) == .processorTime)
        }
    }

    @Test func `a worker that writes text other than messages is killed`() async throws {
        try await withPool("read line; echo 'W: a library prints'; sleep 60") { (pool, _) async throws in
            guard case .broken(.malformed)? = try await death(ask(pool, request)) else {
                Issue.record("not told as broken")
                return
            }
        }
    }

    @Test func `a worker that writes an endless line is killed`() async throws {
        try await withPool("read line; head -c 20000000 /dev/zero; sleep 60") { (pool, _) async throws in
            guard case .broken(.tooLong)? = try await death(ask(pool, request)) else {
                Issue.record("not told as broken")
                return
            }
        }
    }

    @Test func `a worker is replaced after its share of requests`() async throws {
        let limits = WorkerLimits(
            memory: 1 << 30, silence: .seconds(60), processorTime: .seconds(60), requests: 3, memoryMark: 1 << 30)
        try await withPool("while read line; do echo '\(Self.answer)'; done", limits: limits) {
            (pool, folder) async throws in
            for _ in 0..<7 { #expect(try await isAnswer(ask(pool, request))) }
            #expect(pids(folder).count == 3)
        }
    }

    @Test func `a worker above its memory mark is replaced`() async throws {
        let limits = WorkerLimits(
            memory: 1 << 30, silence: .seconds(60), processorTime: .seconds(60), memoryMark: 1 << 10)
        try await withPool("while read line; do echo '\(Self.answer)'; done", limits: limits) {
            (pool, folder) async throws in
            for _ in 0..<2 { #expect(try await isAnswer(ask(pool, request))) }
            #expect(pids(folder).count == 2)
        }
    }

    @Test func `the standard error of a worker goes to a size-capped file`() async throws {
        let script = "read line; head -c 3000000 /dev/zero >&2; echo '\(Self.answer)'; read line"
        try await withPool(script) { (pool, folder) async throws in
            #expect(try await isAnswer(ask(pool, request)))
            let path = folder.appending(path: "worker-index-0.txt").path
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect(attributes[.size] as? Int == 1 << 20)
            #expect((attributes[.posixPermissions] as? Int).map { $0 & 0o77 } == 0)
        }
    }

    @Test func `a segment worker that was idle too long is ended`() async throws {
        let script = "while read line; do echo '\(Self.answer)'; done"
        try await withPool(script, idle: .milliseconds(300)) { (pool, folder) async throws in
            let request = WorkRequest.segment(request: .example(sources: 1))
            #expect(try await isAnswer(ask(pool, request)))
            for _ in 0..<50 where kill(pids(folder)[0], 0) == 0 { try await Task.sleep(for: .milliseconds(100)) }
            #expect(kill(pids(folder)[0], 0) != 0)
            #expect(try await isAnswer(ask(pool, request)))
        }
    }

    @Test func `as many stacks are segmented at once as there are segment workers`() async throws {
        let script = "while read line; do sleep 1; echo '\(Self.answer)'; done"
        try await withPool(script, segmentWorkers: 2) { (pool, folder) async throws in
            let request = WorkRequest.segment(request: .example(sources: 1))
            let start = ContinuousClock.now
            try await withThrowingTaskGroup(of: WorkResult.self) { group in
                for _ in 0..<4 { group.addTask { try await pool.perform(request) } }
                for try await result in group { #expect(isAnswer(result)) }
            }
            #expect(ContinuousClock.now - start < .seconds(3.8))
            #expect(pids(folder).count == 2)
        }
    }

    @Test func `cancelling the asking task kills the worker and answers stopped`() async throws {
        try await withPool("read line; sleep 60") { (pool, folder) async throws in
            let task = Task { try await pool.perform(request) }
            for _ in 0..<50 where pids(folder).isEmpty { try await Task.sleep(for: .milliseconds(50)) }
            task.cancel()
            guard case .stopped = try await task.value else {
                Issue.record("not told as stopped")
                return
            }
        }
    }

    @Test func `shutting down answers all requests`() async throws {
        try await withPool("read line; sleep 60") { (pool, folder) async throws in
            let waiting = (0..<3).map { _ in Task { try await pool.perform(request) } }
            for _ in 0..<50 where pids(folder).isEmpty { try await Task.sleep(for: .milliseconds(50)) }
            await pool.shutDown()
            for task in waiting {
                guard case .stopped = try await task.value else {
                    Issue.record("not told as stopped")
                    return
                }
            }
            guard case .stopped = try await pool.perform(request) else {
                Issue.record("a pool that was shut down took a request")
                return
            }
        }
    }

    @Test func `a missing executable is reported by its name`() async throws {
        let pool = WorkerPool(
            configuration: WorkerPoolConfiguration(executable: "/nowhere/kontur"),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        guard case .notStarted(let error) = try await pool.perform(request) else {
            Issue.record("not told")
            return
        }
        #expect("\(error)".contains("/nowhere/kontur"))
        await pool.shutDown()
    }
}
