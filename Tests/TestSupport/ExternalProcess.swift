// SPDX-License-Identifier: Apache-2.0

import Foundation
import Subprocess

/// The output and the ending of an external process.
public struct ExternalResult: Sendable {
    /// The exit status: 128 plus the signal's number after a signal, 124 after the deadline.
    public let status: Int
    /// The text on standard output.
    public let output: String
    /// The text on standard error.
    public let errors: String

    /// Whether the deadline has passed.
    public var timedOut: Bool { status == 124 || status == 137 }

    /// The end of both outputs, for the message of a failing test.
    public var tail: String {
        let lines = (output + "\n" + errors).split(separator: "\n").suffix(40).joined(separator: "\n")
        return "status \(status)\n\(lines)"
    }
}

/// Runs a process to its end without blocking a thread of the cooperative pool.
///
/// - Parameters:
///   - executable: a path, or a name that is looked up in `PATH`.
///   - arguments: without the program's name.
///   - environment: variables that are added to those of the tests.
///   - seconds: the deadline; the process gets SIGTERM then, and SIGKILL twenty seconds later.
/// - Returns: the exit status and both outputs.
/// - Throws: the error of the start, or of an output of more than 16 MiB.
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
