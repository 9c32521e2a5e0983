// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CAssociations

/// Runs as a child of the node; people do not call it.
///
/// Its standard input is the channel to the node.
struct ReceiverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "receiver", abstract: "Serves associations that peers request (started by 'kontur serve').",
        shouldDisplay: false)

    func run() throws {
        _ = cassociations_confine(0, CASSOCIATIONS_RECEIVER)
        throw ExitCode(cassociations_receiver_run(0))
    }
}
