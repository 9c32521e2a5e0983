// SPDX-License-Identifier: Apache-2.0

import CAssociations
import Foundation
import Supervision
import Worker

/// A command with which Kontur starts its own children; people do not call it.
///
/// It is read without the argument parser, which would take a third of the time of such a start.
enum ChildCommand {
    /// `receiver`: serves associations that peers request. Standard input is the channel to the node.
    case receiver
    /// `sender`: requests associations with peers. Standard input is the channel to the node.
    case sender
    /// `worker --role ROLE --threads COUNT`: answers requests on standard input.
    case worker(WorkerRole, threads: Int)

    /// Reads the arguments; `nil` if they are those of another command.
    ///
    /// - Parameter arguments: without the name of the executable.
    init?(_ arguments: [String]) {
        switch arguments {
        case ["receiver"]: self = .receiver
        case ["sender"]: self = .sender
        default:
            guard arguments.count == 5, arguments[0] == "worker", arguments[1] == "--role", arguments[3] == "--threads",
                let role = WorkerRole(rawValue: arguments[2]), let threads = Int(arguments[4]), threads > 0
            else { return nil }
            self = .worker(role, threads: threads)
        }
    }

    func run() -> Never {
        switch self {
        case .receiver:
            _ = cassociations_confine(0, CASSOCIATIONS_RECEIVER)
            exit(cassociations_receiver_run(0))
        case .sender:
            _ = cassociations_confine(0, CASSOCIATIONS_SENDER)
            exit(cassociations_sender_run(0))
        case .worker(let role, let threads):
            WorkerLoop.run(role: role, threads: threads)
        }
    }
}
