// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CAssociations

/// Runs as a child of the node; people do not call it.
///
/// Its standard input is the channel to the node.
struct SenderCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sender", abstract: "Requests associations with peers (started by 'kontur serve').",
        shouldDisplay: false)

    func run() throws {
        _ = cassociations_confine(0, CASSOCIATIONS_SENDER)
        throw ExitCode(cassociations_sender_run(0))
    }
}
