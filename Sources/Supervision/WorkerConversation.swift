// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform

/// One request and its answer over the pipes of one worker.
final class WorkerConversation {
    /// How often limits are looked at: the time for which a worker may be over its memory.
    private static let sampling: Duration = .milliseconds(100)

    private let process: WorkerProcess
    private let print: PrintFile
    private var received: [UInt8] = []
    private var hasErrors = true

    init(process: WorkerProcess, print: PrintFile) {
        self.process = process
        self.print = print
    }

    /// Blocks until the worker has answered, has ended, is over a limit or `isStopped`. Kills nothing.
    func ask(_ item: WorkItem, watch: WorkerWatch, isStopped: () -> Bool) -> WorkResult {
        var watch = watch
        var unsent = item.line[...]
        var nextSample = monotonicNow()
        while true {
            let now = monotonicNow()
            if now >= nextSample {
                if isStopped() { return .stopped }
                let usage = ProcessUsage(processID: process.processID)
                if let overrun = watch.check(now: now, usage: usage) { return .overran(overrun) }
                nextSample = now + Self.sampling
            }
            var ready = [
                pollfd(fd: process.output, events: Int16(POLLIN), revents: 0),
                pollfd(fd: hasErrors ? process.errors : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: unsent.isEmpty ? -1 : process.input, events: Int16(POLLOUT), revents: 0),
            ]
            guard poll(&ready, 3, 100) >= 0 || errno == EINTR else { continue }
            if ready[1].revents != 0 { hasErrors = print.drain(process.errors) }
            if ready[2].revents != 0 { send(&unsent) }
            guard ready[0].revents != 0 else { continue }
            switch receive() {
            case .nothing: continue
            case .ended: return .workerDied(process.kill())
            case .lines(let lines):
                for line in lines {
                    switch Result(catching: { () throws(WorkMessageError) in try WorkMessage(line: line) }) {
                    case .success(.progress(let progress)):
                        watch.progressed(progress, now: monotonicNow())
                        item.progress(progress)
                    case .success(.response(let response)): return .response(response)
                    case .failure(let error): return .workerDied(.broken(error))
                    }
                }
                if received.count > WorkMessage.limit {
                    return .workerDied(.broken(.tooLong(bytes: received.count)))
                }
            }
        }
    }

    private func send(_ unsent: inout ArraySlice<UInt8>) {
        let count = unsent.withUnsafeBytes { write(process.input, $0.baseAddress, $0.count) }
        if count > 0 { unsent = unsent.dropFirst(count) }
        // EPIPE: the worker is gone, which its output tells in a moment with the reason.
        if count < 0, errno == EPIPE { unsent = [] }
    }

    private enum Received {
        case nothing
        case ended
        case lines([[UInt8]])
    }

    /// Takes what the pipe holds and cuts it into whole lines.
    private func receive() -> Received {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(process.output, &buffer, buffer.count)
        if count == 0 { return .ended }
        if count < 0 { return errno == EAGAIN || errno == EINTR ? .nothing : .ended }
        received.append(contentsOf: buffer[..<count])
        var lines: [[UInt8]] = []
        while let end = received.firstIndex(of: UInt8(ascii: "\n")) {
            lines.append(Array(received[..<end]))
            received.removeFirst(end + 1)
        }
        return .lines(lines)
    }
}
