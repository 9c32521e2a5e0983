// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Platform

@main
enum Main {
    /// Runs the command that the arguments name; exit codes: 0 success, 1 failure, 64 wrong usage.
    @MainActor static func main() async {
        if let child = ChildCommand(Array(CommandLine.arguments.dropFirst())) { child.run() }
        do {
            var command = try KonturCommand.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let error as ConfigurationError {
            // The lines of a configuration error begin with file and line, so the usual prefix "Error: " must not
            // precede them.
            StandardStream.error.write("\(error)\n")
            exit(1)
        } catch {
            KonturCommand.exit(withError: error)
        }
    }
}

/// A failure of a command, with advice to the person who runs it.
struct CommandError: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}
