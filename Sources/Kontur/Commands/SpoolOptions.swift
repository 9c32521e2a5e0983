// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Imaging
import Persistence
import Segmentation

/// Where the spool is that a command looks into, beside a running node or without one.
struct SpoolOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The node's configuration, which says where its spool is.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("The spool's folder (instead of --config).", valueName: "folder"))
    var spool: String?

    func validate() throws {
        if config != nil, spool != nil { throw ValidationError("give either --config or --spool, not both") }
    }

    /// - Throws: `ConfigurationError`, `CommandError` where there is no spool, `JournalError`, `SpoolError`.
    func openJournal() throws -> Journal {
        var configuration = SpoolConfiguration()
        if let config {
            configuration = try NodeConfiguration.load(config, segmenters: Segmenters.catalogue.map(\.name)).spool
        } else if let spool {
            configuration.path = spool
        }
        // Opening makes what is missing, which must not happen where somebody mistyped a path.
        guard FileManager.default.fileExists(atPath: "\(configuration.path)/kontur.sqlite") else {
            throw CommandError(
                "there is no spool at \(configuration.path): no node has run there yet, or --config FILE or --spool FOLDER "
                    + "names another place")
        }
        return try Journal(spool: Spool(configuration, access: .commandLine))
    }
}

extension AuditActor {
    /// Who uses the command line.
    static var operatorOfThisCommand: AuditActor { .user(NSUserName()) }
}
