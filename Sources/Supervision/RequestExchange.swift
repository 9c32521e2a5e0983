// SPDX-License-Identifier: Apache-2.0

import Platform

/// One request and its answer over the pipes of one worker.
final class RequestExchange {
    /// How often the limits are checked, for the first time after one such interval.
    ///
    /// A worker may exceed its memory for this long. Most instances are indexed sooner.
    private static let sampling: Duration = .milliseconds(100)

    private let process: ChildProcess
    private let printed: StandardErrorFile
    private var received: [UInt8] = []
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    /// Whether the worker's standard error is still open.
    private var hasErrors = true

    init(process: ChildProcess, printed: StandardErrorFile) {
        self.process = process
        self.printed = printed
    }

    deinit { buffer.deallocate() }

    /// Sends the request and waits until the worker answers, ends or exceeds a limit, or until `isStopped` returns
    /// true.
    ///
    /// The call blocks. It leaves a worker that exceeds a limit alive: the caller kills it.
    func perform(_ request: QueuedRequest, watch: WorkerWatch, isStopped: () -> Bool) -> WorkResult {
        var watch = watch
        var unsent = request.line[...]
        var nextSample = MonotonicClock.now() + Self.sampling
        while true {
            let now = MonotonicClock.now()
            if now >= nextSample {
                if isStopped() { return .stopped }
                let usage = ProcessUsage(processID: process.processID)
                if let overrun = watch.check(now: now, usage: usage) { return .overran(overrun) }
                nextSample = now + Self.sampling
            }
            var entries = [
                PollEntry(process.output.number, reading: true),
                PollEntry(hasErrors ? process.errors.number : -1, reading: true),
                PollEntry(unsent.isEmpty ? -1 : process.input.number, writing: true),
            ]
            Polling.wait(&entries, atMost: Self.sampling)
            if entries[1].isReady { hasErrors = printed.drain(process.errors) }
            if entries[2].isReady { send(&unsent) }
            guard entries[0].isReady else { continue }
            switch receive() {
            case .nothing: continue
            case .ended: return .workerDied(WorkerDeath(process.kill()))
            case .lines(let lines):
                if let result = take(lines, of: request, watch: &watch) { return result }
            }
        }
    }

    /// Handles lines of the worker.
    ///
    /// - Returns: `nil` while the answer is missing.
    private func take(_ lines: [[UInt8]], of request: QueuedRequest, watch: inout WorkerWatch) -> WorkResult? {
        for line in lines {
            switch Result(catching: { () throws(WorkMessageError) in try WorkMessage(line: line) }) {
            case .success(.progress(let progress)):
                watch.progressed(progress, now: MonotonicClock.now())
                request.progress(progress)
            case .success(.response(let response)): return .response(response)
            case .failure(let error): return .workerDied(.broken(error))
            }
        }
        guard received.count <= WorkMessage.answerLimit else {
            return .workerDied(.broken(.tooLong(bytes: received.count, limit: WorkMessage.answerLimit)))
        }
        return nil
    }

    private func send(_ unsent: inout ArraySlice<UInt8>) {
        do {
            unsent = unsent.dropFirst(try unsent.withUnsafeBytes { try process.input.writeSome($0) })
        } catch {
            // The worker is gone. Its output will end in a moment, and the exit status gives the reason.
            unsent = []
        }
    }

    private enum Received {
        case nothing
        case ended
        case lines([[UInt8]])
    }

    /// Reads the bytes in the pipe, and cuts them into whole lines.
    private func receive() -> Received {
        guard let result = try? process.output.read(into: buffer) else { return .ended }
        // The bytes of earlier calls do not hold a line end.
        var unseen = received.count
        switch result {
        case .wouldBlock: return .nothing
        case .end: return .ended
        case .bytes(let count): received.append(contentsOf: buffer[..<count])
        }
        var lines: [[UInt8]] = []
        while let end = received[unseen...].firstIndex(of: UInt8(ascii: "\n")) {
            lines.append(Array(received[..<end]))
            received.removeFirst(end + 1)
            unseen = 0
        }
        return .lines(lines)
    }
}
