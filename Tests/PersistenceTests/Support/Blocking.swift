// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Runs a body that waits for disks on a thread of its own, because the cooperative pool must not block.
///
/// The body is still part of its test, so that a failed expectation is recorded there.
func blocking<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withTaskExecutorPreference(ThreadExecutor()) {
        await Task.yield()
        return try body()
    }
}

/// Runs each piece of a task on a thread of its own.
private final class ThreadExecutor: TaskExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let thread = Thread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
        thread.stackSize = 2 << 20
        thread.start()
    }
}

/// Runs `body` on `count` threads at the same time and waits for all; blocks the calling thread.
func concurrently(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let group = DispatchGroup()
    for index in 0..<count {
        group.enter()
        Thread {
            body(index)
            group.leave()
        }.start()
    }
    group.wait()
}
