// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Synchronization

/// Lets tasks wait, counted on the monotonic clock by one thread of ours.
///
/// `Task.sleep` arms a kernel timer at an absolute time. Libraries that fake a program's wall clock (libfaketime, with
/// which operators rehearse clock changes) shift such timers too: a waiter would sleep for a year. A relative poll is
/// shifted by nobody.
package final class Pause: Sendable {
    private static let shared = Pause()

    private struct State {
        var next = 0
        var waiting: [Int: (until: Duration, continuation: CheckedContinuation<Void, Never>)] = [:]
    }

    private let state = Mutex(State())
    private let wakeReader: Int32
    private let wakeWriter: Int32

    private init() {
        var ends: [Int32] = [0, 0]
        precondition(pipe(&ends) == 0, "no descriptor is left for the timer")
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        wakeReader = ends[0]
        wakeWriter = ends[1]
        DedicatedThread.start(name: "kontur-timer") { [self] in run() }
    }

    /// Returns after `duration`, or when the task is cancelled.
    package static func wait(_ duration: Duration) async { await shared.wait(duration) }

    private func wait(_ duration: Duration) async {
        let until = NodeClock.system.monotonic() + duration
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // A cancellation before this finds nothing to end, but is seen here.
                let isOver = state.withLock { state in
                    guard !Task.isCancelled else { return true }
                    state.waiting[id] = (until, continuation)
                    return false
                }
                if isOver { continuation.resume() } else { wake() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.continuation.resume()
        }
    }

    private func wake() {
        var byte: UInt8 = 1
        // A full pipe wakes the thread as well.
        _ = write(wakeWriter, &byte, 1)
    }

    private func run() {
        while true {
            let now = NodeClock.system.monotonic()
            let (due, next) = state.withLock { state in
                let due = state.waiting.filter { $0.value.until <= now }
                for id in due.keys { state.waiting[id] = nil }
                return (due.values.map(\.continuation), state.waiting.values.map(\.until).min())
            }
            for continuation in due { continuation.resume() }
            var descriptor = pollfd(fd: wakeReader, events: Int16(POLLIN), revents: 0)
            // At most an hour at once, so that the count of milliseconds fits.
            let limit = next.map { min($0 - now, .seconds(3600)) / .milliseconds(1) }
            poll(&descriptor, 1, limit.map { Int32($0.rounded(.up)) } ?? -1)
            var bytes = [UInt8](repeating: 0, count: 64)
            while read(wakeReader, &bytes, bytes.count) > 0 {}
        }
    }
}
