// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Supervision

/// The two ends of the protocol inside the worker, with standard output moved away: a library that prints would
/// otherwise print into an answer.
// `@unchecked`: `lines` and `isClosed` are touched only under `condition`; the descriptors never change.
final class WorkerChannel: @unchecked Sendable {
    private let output: Int32
    private let condition = NSCondition()
    private var lines: [[UInt8]] = []

    init() {
        signal(SIGINT, SIG_IGN)
        signal(SIGPIPE, SIG_IGN)
        umask(0o077)
        // No core file: it would hold the images of a patient.
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
        output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
        // What libraries print goes where errors go: to the supervisor's size-capped file.
        dup2(STDERR_FILENO, STDOUT_FILENO)
    }

    /// Reads requests until the input closes, then ends the process at once.
    func readUntilClosed() -> Never {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var received: [UInt8] = []
        while true {
            let count = read(STDIN_FILENO, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            // Without exit handlers: the other thread may be anywhere in a computation that they would pull down.
            if count <= 0 { _exit(0) }
            received.append(contentsOf: buffer[..<count])
            while let end = received.firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(received[..<end])
                received.removeFirst(end + 1)
                condition.withLock {
                    lines.append(line)
                    condition.signal()
                }
            }
            if received.count > WorkMessage.limit { _exit(65) }
        }
    }

    /// Waits for the next request.
    func nextLine() -> [UInt8] {
        condition.withLock {
            while lines.isEmpty { condition.wait() }
            return lines.removeFirst()
        }
    }

    /// Answers one line. What is no valid request ends the process: the two sides are not of one version.
    func answer(_ line: [UInt8], with handler: inout any RequestHandler) {
        do {
            let request = try WorkRequest(line: line)
            let response = handler.answer(request) { self.send(.progress($0)) }
            send(.response(response))
        } catch {
            FileHandle.standardError.write(Data("kontur worker: \(error)\n".utf8))
            _exit(65)
        }
    }

    private func send(_ message: WorkMessage) {
        let bytes: [UInt8]
        do {
            bytes = try WorkMessage.line(message)
        } catch {
            guard case .response = message,
                let refusal = try? WorkMessage.line(.response(.failed(reason: "the answer is \(error)")))
            else { return }
            bytes = refusal
        }
        var unsent = bytes[...]
        while !unsent.isEmpty {
            let count = unsent.withUnsafeBytes { write(output, $0.baseAddress, $0.count) }
            if count < 0 && errno != EINTR { _exit(0) }
            unsent = unsent.dropFirst(max(0, count))
        }
    }
}
