// SPDX-License-Identifier: Apache-2.0

import Logging
import Persistence
import Platform
import Supervision

/// Keeps the loop of a service alive.
///
/// A service works through items. An item that fails is set aside by the service: the journal names it and the reason.
/// This type is for what remains, such as a list that cannot be read: the failed round is logged, and the next round
/// comes after a pause. One error therefore neither ends the node nor repeats at full speed.
struct Perseverance {
    /// The longest pause after a failed round; the first is one second, and each doubles.
    private static let longest: Duration = .seconds(60)

    /// The name of the loop, for the log.
    let loop: String
    let logger: Logger
    /// Whether the service has to end.
    ///
    /// A pause then ends within a second.
    let isStopping: @Sendable () -> Bool
    /// Failed rounds in a row.
    private var failures = 0

    init(_ loop: String, logger: Logger, isStopping: @escaping @Sendable () -> Bool) {
        self.loop = loop
        self.logger = logger
        self.isStopping = isStopping
    }

    /// Runs one round.
    ///
    /// - Returns: the result; `nil` after an error and the pause that follows it.
    @discardableResult
    mutating func round<Result: Sendable>(_ body: () async throws -> Result) async -> Result? {
        do {
            let result = try await body()
            if failures > 0 { logger.info("a service goes on", metadata: ["service.loop": "\(loop)"]) }
            failures = 0
            return result
        } catch {
            failures += 1
            logger.error(
                "a service could not go on",
                metadata: ["service.loop": "\(loop)", "failures": "\(failures)", "error": "\(Reason(error))"])
            await pause(min(.seconds(1 << min(failures - 1, 6)), Self.longest))
            return nil
        }
    }

    private func pause(_ duration: Duration) async {
        var rest = duration
        while rest > .zero, !isStopping(), !Task.isCancelled {
            await Pause.wait(min(rest, .seconds(1)))
            rest -= .seconds(1)
        }
    }
}

/// An error in words that may go into a record or the log.
///
/// The rooms' own errors describe themselves without patient data. The text of another error may quote the data that
/// could not be read, so that only its type is named.
struct Reason: CustomStringConvertible, Sendable {
    let description: String

    init(_ error: any Error) {
        switch error {
        case is DecodingError: description = "stored data is not in the form that this version of kontur reads"
        case is EncodingError: description = "a value cannot be stored"
        case is JournalError, is SpoolError, is StateError, is SystemCallError, is WorkMessageError, is ItemError:
            description = "\(error)"
        default: description = "an error of the type \(type(of: error))"
        }
    }
}

/// The reason why one item cannot be handled, although the others can.
struct ItemError: Error, CustomStringConvertible, Sendable {
    /// What is wrong with which item, without patient data.
    let description: String

    init(_ description: String) { self.description = description }
}
