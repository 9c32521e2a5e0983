// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A thread of its own for code that blocks: sockets, fsync, SQLite, waitpid, pipes.
///
/// Swift's cooperative pool has one thread per core and must not block. So blocking code runs here, and its caller
/// awaits the result. The thread ends with its body; threads are not pooled.
public enum DedicatedThread {
    /// Runs `body` on a new thread and returns its result.
    ///
    /// Cancelling the caller does not stop the thread. The caller must end the blocking call, for example from a
    /// `withTaskCancellationHandler` around this call.
    ///
    /// - Parameters:
    ///   - name: shown by `ps` and debuggers, its first 15 bytes.
    ///   - stackSize: bytes of address space; memory is used only as the stack grows.
    ///   - body: the blocking code.
    /// - Returns: the result of `body`.
    /// - Throws: the error of `body`.
    public static func run<Result: Sendable>(
        name: String, stackSize: Int = 1 << 20, _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            start(name: name, stackSize: stackSize) {
                continuation.resume(with: Swift.Result { try body() })
            }
        }
    }

    /// Starts a thread without waiting for its end.
    public static func start(name: String, stackSize: Int = 1 << 20, _ body: @escaping @Sendable () -> Void) {
        let thread = Thread(block: body)
        thread.name = String(decoding: name.utf8.prefix(15), as: UTF8.self)
        thread.stackSize = stackSize
        thread.start()
    }
}
