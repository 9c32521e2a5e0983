// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A thread of its own for code that blocks: sockets, fsync, SQLite, waitpid, pipes.
///
/// Swift's cooperative pool has one thread a core and must never block, so whatever does is run here, and its caller
/// awaits the result. The thread ends with its body; nothing is pooled.
public enum DedicatedThread {
    /// Runs `body` on a thread of its own and returns what it returns.
    ///
    /// Cancelling the caller does not stop the thread: what it blocks on has to be shut down, for example from a
    /// `withTaskCancellationHandler` around this call.
    ///
    /// - Parameters:
    ///   - name: shown by `ps` and debuggers, its first 15 bytes.
    ///   - stackSize: bytes of address space; memory is taken as it is touched.
    public static func run<Result: Sendable>(
        name: String, stackSize: Int = 1 << 20, _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            start(name: name, stackSize: stackSize) {
                continuation.resume(with: Swift.Result { try body() })
            }
        }
    }

    /// Starts a thread that nobody waits for.
    public static func start(name: String, stackSize: Int = 1 << 20, _ body: @escaping @Sendable () -> Void) {
        let thread = Thread(block: body)
        thread.name = String(decoding: name.utf8.prefix(15), as: UTF8.self)
        thread.stackSize = stackSize
        thread.start()
    }
}
