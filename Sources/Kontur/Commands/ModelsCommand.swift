// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Imaging
import Segmentation

struct ModelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models", abstract: "Tells which networks are installed.", subcommands: [ModelsListCommand.self],
        defaultSubcommand: ModelsListCommand.self)
}

struct ModelsListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists segmenters with the hash, origin and terms of their weights.")

    @OptionGroup var output: OutputOptions

    func run() throws { try ReportPrinter.print(ModelsReport(models: Segmenters.all), as: output.format) }
}

struct ModelsReport: Report {
    /// Where all of them come from as yet.
    var origin = "inside the executable"
    var models: [SegmenterDescriptor]

    var parts: [ReportPart] {
        var parts: [ReportPart] = [
            .table(
                TextTable(
                    ["segmenter", "version", "takes", "segments", "weights (SHA-256)", "from", "terms"].map {
                        .init($0)
                    },
                    rows: models.map { model in
                        [
                            model.name, model.version, model.accepts.rawValue, model.segmentLabel,
                            model.weightsHash.prefix(16) + "…", origin, model.licence,
                        ]
                    }))
        ]
        for model in models { parts.append(.line("\(model.name): \(model.title). \(model.paper)")) }
        return parts
    }
}
