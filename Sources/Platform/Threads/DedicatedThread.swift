// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Synchronization

/// A thread of its own for code that blocks: sockets, fsync, SQLite, waitpid, pipes.
///
/// Swift's cooperative pool has one thread per core and must not block. So blocking code runs here, and its caller
/// awaits the result. A thread whose body has ended waits a moment for the next one, because to make a thread costs more
/// than a short association or a small query.
public enum DedicatedThread {
    /// Bytes of the stack of a thread that is used again.
    public static let stackSize = 1 << 20

    /// Runs `body` on a thread of its own and returns its result.
    ///
    /// Cancelling the caller does not stop the thread. The caller must end the blocking call, for example from a
    /// `withTaskCancellationHandler` around this call.
    ///
    /// - Parameters:
    ///   - name: shown by `ps` and debuggers, its first 15 bytes.
    ///   - body: the blocking code.
    /// - Returns: the result of `body`.
    /// - Throws: the error of `body`.
    public static func run<Result: Sendable>(
        name: String, _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            start(name: name) {
                continuation.resume(with: Swift.Result { try body() })
            }
        }
    }

    /// Starts `body` on a thread of its own, without waiting for its end.
    ///
    /// - Parameters:
    ///   - name: shown by `ps` and debuggers, its first 15 bytes.
    ///   - stackSize: bytes of address space; memory is used only as the stack grows.
    ///   - yields: whether other threads run first if there are fewer processors than threads.
    ///   - body: the blocking code.
    public static func start(
        name: String, stackSize: Int = DedicatedThread.stackSize, yields: Bool = false,
        _ body: @escaping @Sendable () -> Void
    ) {
        let named: @Sendable () -> Void = {
            Thread.current.name = String(decoding: name.utf8.prefix(15), as: UTF8.self)
            if yields { lowerPriority() }
            body()
        }
        // A lowered priority cannot be raised again, so that no other body may run on such a thread.
        if stackSize == DedicatedThread.stackSize, !yields {
            WaitingThread.run(named)
        } else {
            startThread(stackSize: stackSize, named)
        }
    }

    /// Lowers the priority of the calling thread: on Linux, a thread has a nice value of its own.
    private static func lowerPriority() {
        let process = __priority_which_t(PRIO_PROCESS.rawValue)
        _ = setpriority(process, 0, getpriority(process, 0) + 10)
    }

    fileprivate static func startThread(stackSize: Int, _ body: @escaping @Sendable () -> Void) {
        let thread = Thread(block: body)
        thread.stackSize = stackSize
        thread.start()
    }
}

/// A thread that runs one body after another, and ends if none comes for a while.
// `@unchecked`: `body` is touched only under `condition`.
private final class WaitingThread: @unchecked Sendable {
    /// The threads that wait, the one that has waited shortest last.
    private static let waiting = Mutex<[WaitingThread]>([])
    private static let mostWaiting = 16
    private static let patience: Duration = .seconds(10)

    private let condition = MonotonicCondition()
    private var body: (@Sendable () -> Void)?

    private init(_ body: @escaping @Sendable () -> Void) { self.body = body }

    fileprivate static func run(_ body: @escaping @Sendable () -> Void) {
        if let thread = waiting.withLock({ $0.popLast() }) {
            thread.condition.withLock {
                thread.body = body
                thread.condition.wakeAll()
            }
        } else {
            let thread = WaitingThread(body)
            DedicatedThread.startThread(stackSize: DedicatedThread.stackSize) { while thread.runNext() {} }
        }
    }

    /// Runs the body that comes next, and lets go of everything that it holds.
    ///
    /// - Returns: false if none came.
    private func runNext() -> Bool {
        guard let body = takeBody() ?? waitForBody() else { return false }
        body()
        return true
    }

    private func takeBody() -> (@Sendable () -> Void)? {
        condition.withLock {
            defer { body = nil }
            return body
        }
    }

    /// Leaves the list of threads that wait.
    ///
    /// - Returns: false if the thread was taken from the list, because a body comes.
    private func leaveList() -> Bool {
        Self.waiting.withLock { waiting in
            guard let index = waiting.firstIndex(where: { $0 === self }) else { return false }
            waiting.remove(at: index)
            return true
        }
    }

    private func waitForBody() -> (@Sendable () -> Void)? {
        let waits = Self.waiting.withLock { waiting in
            guard waiting.count < Self.mostWaiting else { return false }
            waiting.append(self)
            return true
        }
        guard waits else { return nil }
        let end = MonotonicClock.now() + Self.patience
        return condition.withLock {
            while body == nil {
                let rest = end - MonotonicClock.now()
                // A thread that was taken from the list gets a body in any case.
                if rest <= .zero, leaveList() { return nil }
                _ = condition.wait(timeout: rest > .zero ? rest : nil)
            }
            defer { body = nil }
            return body
        }
    }
}
