// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Supervision
import Worker

/// Runs as a child of the node and of other commands; people do not call it.
struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Answers work requests on standard input (started by other commands).",
        shouldDisplay: false)

    @Option(help: "The requests that it answers: index or segment.")
    var role: ChoiceArgument<WorkerRole>

    @Option(help: "Number of threads that compute.")
    var threads: Int = 1

    func validate() throws {
        if threads < 1 { throw ValidationError("--threads must be at least 1") }
    }

    func run() throws { WorkerLoop.run(role: role.value, threads: threads) }
}
