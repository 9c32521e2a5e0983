// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Platform
import Supervision
import TestSupport

/// A `kontur worker` and its two pipes, used by one thread.
///
/// Ends after two minutes whatever happens.
final class WorkerChild {
    static let isThere = FileManager.default.isExecutableFile(atPath: Executables.kontur)

    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private var received = Data()

    var processID: Int32 { process.processIdentifier }

    /// Runs `body` with a new worker on a thread of its own, then closes its input.
    ///
    /// - Returns: what `body` does, and the worker's exit status (-1 when a signal ended it).
    static func run<Result: Sendable>(
        _ role: String, _ body: @escaping @Sendable (WorkerChild) throws -> Result
    ) async throws -> (Result, Int32) {
        try await DedicatedThread.run(name: "test-worker") {
            signal(SIGPIPE, SIG_IGN)
            let child = WorkerChild()
            child.process.executableURL = URL(fileURLWithPath: Executables.kontur)
            child.process.arguments = ["worker", "--role", role, "--threads", "2"]
            child.process.standardInput = child.input
            child.process.standardOutput = child.output
            child.process.standardError = FileHandle.nullDevice
            try child.process.run()
            let deadline = DispatchWorkItem { kill(child.processID, SIGKILL) }
            DispatchQueue.global().asyncAfter(deadline: .now() + 120, execute: deadline)
            defer { deadline.cancel() }
            let result = Swift.Result { try body(child) }
            child.closeInput()
            child.process.waitUntilExit()
            let status = child.process.terminationReason == .exit ? child.process.terminationStatus : -1
            return (try result.get(), status)
        }
    }

    /// The answers of workers to requests, one after the other.
    ///
    /// - Returns: `nil` for a request during which the worker died; the next request gets a new worker.
    static func answers(_ role: String, _ requests: [WorkRequest]) async throws -> [WorkResponse?] {
        let lines = try requests.map { try WorkMessage.line($0) }
        var answers: [WorkResponse?] = []
        while answers.count < lines.count {
            let rest = lines[answers.count...]
            answers += try await run(role) { child in
                var given: [WorkResponse?] = []
                for line in rest {
                    child.send(line)
                    given.append(child.response())
                    if given.last == .some(nil) { break }
                }
                return given
            }.0
        }
        return answers
    }

    func send(_ line: [UInt8]) { try? input.fileHandleForWriting.write(contentsOf: Data(line)) }

    func closeInput() { try? input.fileHandleForWriting.close() }

    /// The next answer, progress left out; `nil` when the worker closes its output or says what is no message.
    func response() -> WorkResponse? {
        while true {
            while let end = received.firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(received[..<end])
                received = Data(received[(end + 1)...])
                guard let message = try? WorkMessage(line: line) else { return nil }
                if case .response(let response) = message { return response }
            }
            let more = output.fileHandleForReading.availableData
            if more.isEmpty { return nil }
            received.append(more)
        }
    }
}
