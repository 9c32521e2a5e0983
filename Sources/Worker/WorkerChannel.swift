// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import Supervision

/// The worker's ends of the two pipes to its supervisor.
///
/// Standard output is moved away when the channel is made: a library that prints would otherwise print into an answer.
// `@unchecked`: `lines` is touched only under `condition`; the descriptor never changes.
final class WorkerChannel: @unchecked Sendable {
    /// The exit code after a line that is not a valid request, `EX_DATAERR` of sysexits.h.
    private static let dataError: Int32 = 65

    private let output: FileDescriptor
    private let condition = MonotonicCondition()
    private var lines: [[UInt8]] = []

    /// Prepares this process to be a worker: signals, permissions and standard output.
    init() {
        // An interrupt from the terminal reaches the whole process group; only the supervisor reacts to it.
        CurrentProcess.ignoreInterrupts()
        CurrentProcess.ignoreBrokenPipes()
        CurrentProcess.keepFilesPrivate()
        // Text that libraries print goes to standard error, which the supervisor keeps in a file of limited size.
        output = CurrentProcess.takeStandardOutput()
    }

    /// Reads requests until the input closes, then ends the process at once.
    func readUntilClosed() -> Never {
        let input = FileDescriptor(owning: 0)
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var received: [UInt8] = []
        while case .bytes(let count)? = try? buffer.withUnsafeMutableBytes({ try input.read(into: $0) }) {
            received.append(contentsOf: buffer[..<count])
            while let end = received.firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(received[..<end])
                received.removeFirst(end + 1)
                condition.withLock {
                    lines.append(line)
                    condition.wakeAll()
                }
            }
            if received.count > WorkMessage.limit { CurrentProcess.exitAtOnce(Self.dataError) }
        }
        CurrentProcess.exitAtOnce(0)
    }

    /// Waits for the next request.
    ///
    /// - Returns: one line, without its end.
    func nextLine() -> [UInt8] {
        condition.withLock {
            while lines.isEmpty { _ = condition.wait(timeout: nil) }
            return lines.removeFirst()
        }
    }

    /// Answers one line.
    ///
    /// A line that is not a valid request ends the process, because the two sides are then of different versions.
    func answer(_ line: [UInt8], with handler: inout any RequestHandler) {
        do {
            let request = try WorkRequest(line: line)
            let response = handler.answer(request) { self.send(.progress($0)) }
            send(.response(response))
        } catch {
            FileHandle.standardError.write(Data("kontur worker: \(error)\n".utf8))
            CurrentProcess.exitAtOnce(Self.dataError)
        }
    }

    /// Writes one message; ends the process if the supervisor is gone.
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
        do { try bytes.withUnsafeBytes { try output.write($0) } } catch { CurrentProcess.exitAtOnce(0) }
    }
}
