// SPDX-License-Identifier: Apache-2.0

import Foundation
import Subprocess

/// What an external process printed and how it ended.
public struct ExternalResult: Sendable {
    /// The exit status; 128 plus the signal's number when a signal ended it, 124 when its deadline passed.
    public let status: Int
    /// What it wrote to standard output, and to standard error.
    public let output: String
    public let errors: String

    /// Whether its deadline passed.
    public var timedOut: Bool { status == 124 || status == 137 }

    /// The end of both outputs, for a failing test's message.
    public var tail: String {
        let lines = (output + "\n" + errors).split(separator: "\n").suffix(40).joined(separator: "\n")
        return "status \(status)\n\(lines)"
    }
}

/// Runs a process to its end without blocking a thread of the cooperative pool.
///
/// - Parameters:
///   - executable: a path, or a name that is looked up in `PATH`.
///   - environment: variables added to those of the tests.
///   - seconds: its deadline; it gets SIGTERM then, and SIGKILL twenty seconds later.
/// - Throws: when the process cannot be started, or prints more than 16 MiB.
public func runExternal(
    _ executable: String, _ arguments: [String], environment: [String: String] = [:], within seconds: Int = 60
) async throws -> ExternalResult {
    let added: [Environment.Key: String?] = Dictionary(
        uniqueKeysWithValues: environment.map { (Environment.Key(stringLiteral: $0.key), Optional($0.value)) })
    let result = try await run(
        .path("/usr/bin/timeout"),
        arguments: Arguments(["--kill-after=20", String(seconds), executable] + arguments),
        environment: .inherit.updating(added),
        output: .string(limit: 1 << 24),
        error: .string(limit: 1 << 24))
    let status =
        switch result.terminationStatus {
        case .exited(let code): Int(code)
        case .signaled(let signal): 128 + Int(signal)
        }
    return ExternalResult(
        status: status, output: result.standardOutput, errors: result.standardError)
}
