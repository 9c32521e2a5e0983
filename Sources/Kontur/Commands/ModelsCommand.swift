// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Inference
import Segmentation

struct ModelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models", abstract: "Adds weights of published networks, and tells which there are.",
        discussion: """
            Two small networks are inside the executable. Weights of SAM, MedSAM and LiteMedSAM come from their \
            publishers: 'kontur models list' says where they are offered, 'kontur models add' takes the file. They lie in \
            one folder: that of --models, else of the variable KONTUR_MODELS, else of the configuration (its models.path, \
            or 'models' in its spool), else ~/.local/share/kontur/models.
            """,
        subcommands: [
            ModelsListCommand.self, ModelsAddCommand.self, ModelsVerifyCommand.self, ModelsRemoveCommand.self,
        ],
        defaultSubcommand: ModelsListCommand.self)
}

/// Which folder of weights a command means.
struct ModelsPlace: ParsableArguments {
    @Option(help: ArgumentHelp("The node's configuration, which says where its weights are.", valueName: "file"))
    var config: String?

    @OptionGroup var models: ModelsOptions

    /// - Throws: `ConfigurationError`.
    func configuration() throws -> NodeConfiguration? {
        try config.map { try NodeConfiguration.load($0, segmenters: Segmenters.catalogue.map(\.name)) }
    }

    func store(_ configuration: NodeConfiguration?) -> WeightStore {
        WeightStore(folder: ModelsFolder.path(named: models.models, configuration: configuration))
    }
}

/// Shows how far a store is, on a terminal.
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
        line.show("\(word): \(percent) % of \(Shown.bytes(Int64(total)))")
    }

    func clear() { line.clear() }
}
