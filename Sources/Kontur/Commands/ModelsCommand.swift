// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Inference
import Persistence
import Segmentation

struct ModelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models", abstract: "Lists segmenters and their weights, and adds weights of published networks.",
        discussion: """
            The executable contains the weights of small networks. The weights of SAM, MedSAM and LiteMedSAM come from \
            their publishers: 'kontur models list' shows where, and 'kontur models add' takes the file.

            Weights lie in one folder. The first of these names it: --models, the variable KONTUR_MODELS, the \
            configuration (its models.path, or 'models' in its spool), ~/.local/share/kontur/models.

            With --config, 'add' and 'remove' record the change in the audit trail of the configuration's spool.
            """,
        subcommands: [
            ModelsListCommand.self, ModelsAddCommand.self, ModelsVerifyCommand.self, ModelsRemoveCommand.self,
        ],
        defaultSubcommand: ModelsListCommand.self)
}

/// The folder of weights that a command uses.
struct ModelsPlace: ParsableArguments {
    @Option(help: ArgumentHelp("Use the weights of the node with this configuration.", valueName: "file"))
    var config: String?

    @OptionGroup var models: ModelsOptions

    /// The configuration that `--config` names; `nil` without it.
    ///
    /// - Throws: `ConfigurationError`.
    func configuration() throws -> NodeConfiguration? {
        try config.map { try NodeConfiguration.load($0, segmenters: Segmenters.catalogue.map(\.name)) }
    }

    /// The folder of weights.
    func store(_ configuration: NodeConfiguration?) -> WeightStore {
        WeightStore(folder: ModelsFolder.path(named: models.models, configuration: configuration))
    }

    /// The journal whose trail records a change of `store`.
    ///
    /// It is `nil` without `--config`, and if `--models` names a folder that the node of `--config` does not read. The
    /// spool is made if it does not exist, because weights are often added before the first start of the node.
    ///
    /// - Throws: `JournalError`, `SpoolError`.
    func journal(_ configuration: NodeConfiguration?, for store: WeightStore) throws -> Journal? {
        guard let configuration, store.folder == ModelsFolder.path(named: nil, configuration: configuration) else {
            return nil
        }
        return try Journal(spool: Spool(configuration.spool, access: .commandLine))
    }
}

/// Shows on a terminal how far a step on the weights has come.
struct StoreProgress {
    private let line = ProgressLine()

    func show(_ step: WeightStore.Step, _ done: Int, _ total: Int) {
        let word =
            switch step {
            case .hashing: "reading"
            case .converting: "converting and storing"
            case .verifying: "verifying"
            }
        let percent = total > 0 ? Int(Double(done) / Double(total) * 100) : 100
        line.show("\(word): \(percent) % of \(Formatted.bytes(Int64(total)))")
    }

    func clear() { line.clear() }
}

// MARK: - Verify

struct ModelsVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Reads all installed weights and compares their hashes with the records.",
        discussion: "A segmenter compares the hash of its own weights each time it loads them.")

    @OptionGroup var place: ModelsPlace
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = place.store(try place.configuration())
        let progress = StoreProgress()
        let found = try store.verify(progress: progress.show)
        progress.clear()
        try ReportPrinter.print(WeightsReport(folder: store.folder, weights: found), as: output.format)
        let damaged = found.filter { $0.problem != nil }.map(\.name)
        if !damaged.isEmpty {
            throw CommandError(
                "\(damaged.joined(separator: ", ")) changed since they were added; run 'kontur models remove' and add "
                    + "their checkpoints again")
        }
    }
}

/// Installed weights and whether they are whole.
struct WeightsReport: Report {
    var folder: String
    var weights: [WeightStore.Verification]

    var parts: [ReportPart] {
        if weights.isEmpty { return [.line("No weights are installed in \(folder).")] }
        let rows = weights.map { [$0.name, $0.problem ?? "whole"] }
        return [.table(TextTable([.init("weights"), .init("state")], rows: rows))]
    }
}
