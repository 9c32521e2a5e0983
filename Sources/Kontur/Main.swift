// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

@main
enum Main {
    /// Exit codes: 0 done, 1 something failed, 64 wrong usage.
    @MainActor static func main() async {
        do {
            var command = try KonturCommand.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let error as ConfigurationError {
            // Its lines begin with file and line, so that editors and people find them.
            Terminal.write("\(error)\n", to: STDERR_FILENO)
            exit(1)
        } catch {
            KonturCommand.exit(withError: error)
        }
    }
}

/// Something that a command could not do; the message says what to do about it.
struct CommandError: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}
