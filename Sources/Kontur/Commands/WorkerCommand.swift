// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Supervision
import Worker

/// What the node and other commands start as a child; not for people.
struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Answers work requests on standard input (started by other commands).",
        shouldDisplay: false)

    @Option(help: "What it is for: index or segment.")
    var role: Word<WorkerRole>

    @Option(help: "Computing threads.")
    var threads: Int = 1

    func validate() throws {
        if threads < 1 { throw ValidationError("a worker has at least one thread") }
    }

    func run() throws { WorkerLoop.run(role: role.value, threads: threads) }
}
