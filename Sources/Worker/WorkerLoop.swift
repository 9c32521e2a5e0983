// SPDX-License-Identifier: Apache-2.0

import Foundation
public import Supervision

/// The life of a worker process: what `kontur worker --role index|segment --threads N` does.
///
/// Requests come in on standard input, one JSON line each; progress and answers leave on what was standard output when
/// the process started. The process ends when its input closes, also in the middle of a request: then nobody waits for
/// the answer any more.
public enum WorkerLoop {
    /// Serves until the input closes; never returns.
    ///
    /// - Parameter threads: computing threads, fixed for the life of the process.
    public static func run(role: WorkerRole, threads: Int) -> Never {
        let channel = WorkerChannel()
        // The loop owns a thread with a stack of a known size: pixel decoders are not frugal.
        let thread = Thread {
            var handler: any RequestHandler = role == .index ? IndexHandler() : SegmentHandler(threads: threads)
            while true { channel.answer(channel.nextLine(), with: &handler) }
        }
        thread.name = "kontur-worker"
        thread.stackSize = 8 << 20
        thread.start()
        channel.readUntilClosed()
    }
}

/// Answers the requests of one role, on one thread.
protocol RequestHandler {
    mutating func answer(_ request: WorkRequest, progress: (WorkProgress) -> Void) -> WorkResponse
}
