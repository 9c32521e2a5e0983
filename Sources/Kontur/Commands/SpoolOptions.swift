// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Imaging
import Persistence
import Segmentation

/// The spool that a command reads.
///
/// The node may be running or stopped.
struct SpoolOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Read the spool that this node configuration names.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Read the spool in this folder, instead of --config.", valueName: "folder"))
    var spool: String?

    func validate() throws {
        if config != nil, spool != nil { throw ValidationError("give either --config or --spool, not both") }
    }

    /// Opens the journal of an existing spool.
    ///
    /// - Throws: `ConfigurationError`, `CommandError` if the spool does not exist, `JournalError`, `SpoolError`.
    func openJournal() throws -> Journal { try open(.commandLine) }

    /// Opens the journal of an existing spool for reading, which works without room on the disk.
    ///
    /// - Throws: as ``openJournal()``.
    func openForReading() throws -> Journal { try open(.reader) }

    private func open(_ access: Spool.Access) throws -> Journal {
        var configuration = SpoolConfiguration()
        if let config {
            configuration = try NodeConfiguration.load(config, segmenters: Segmenters.catalogue.map(\.name)).spool
        } else if let spool {
            configuration.path = spool
        }
        // Opening makes missing files, which must not happen for a mistyped path.
        guard FileManager.default.fileExists(atPath: "\(configuration.path)/kontur.sqlite") else {
            throw CommandError(
                "there is no spool at \(configuration.path); start a node there first, or name another place with "
                    + "--config FILE or --spool FOLDER")
        }
        return try Journal(spool: Spool(configuration, access: access))
    }
}

extension AuditActor {
    /// The user who runs this command.
    static var operatorOfThisCommand: AuditActor { .user(NSUserName()) }
}
