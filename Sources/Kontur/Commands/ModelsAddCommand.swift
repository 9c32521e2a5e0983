// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Inference
import Segmentation

struct ModelsAddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Adds a checkpoint: recognises, checks, converts and stores it.",
        discussion: """
            FILE is a checkpoint as its publisher offers it (sam_vit_b_01ec64.pth, medsam_vit_b.pth, lite_medsam.pth), one \
            that somebody trained with the publisher's scripts, or a safetensors file, also with the names of \
            transformers. Nothing in it is run: a file that asks for anything but tensors is refused. FILE itself is not \
            needed afterwards.
            """)

    @Argument(help: ArgumentHelp("The checkpoint.", valueName: "file"))
    var file: String

    @Option(help: "What to call the weights; by their network when left out, such as sam_vit_b.")
    var name: String?

    @Option(help: "Whose weights they are, where tensors cannot tell: sam, medsam or lite-medsam.")
    var family: Word<ModelFamily>?

    @Option(help: ArgumentHelp("Terms of the weights, where they are not the publisher's.", valueName: "text"))
    var terms: String?

    @Flag(help: "Put them in the place of other weights of the same name.")
    var replace = false

    @OptionGroup var place: ModelsPlace
    @OptionGroup var output: OutputOptions

    func run() throws {
        let configuration = try place.configuration()
        let store = place.store(configuration)
        let progress = StoreProgress()
        let options = WeightStore.AddOptions(name: name, family: family?.value, terms: terms, replaces: replace)
        let addition: WeightStore.Addition
        do {
            defer { progress.clear() }
            addition = try store.add(file, options, progress: progress.show)
        } catch let error as CheckpointError {
            throw CommandError("could not add '\(TextTable.printable(file))': \(error)")
        }
        try ReportPrinter.print(AdditionReport(addition), as: output.format)
    }
}

/// What was added, and what was assumed.
struct AdditionReport: Report {
    var weights: InstalledWeights
    var format: String
    var notes: [String]
    var wasThere: Bool
    var replaced: InstalledWeights?
    /// Segmenters that can run with them.
    var segmenters: [String]
    var disclaimer = Shown.disclaimer

    init(_ addition: WeightStore.Addition) {
        weights = addition.weights
        format = addition.format
        notes = addition.notes
        wasThere = addition.wasThere
        replaced = addition.replaced
        segmenters = Segmenters.catalogue.filter { $0.family == addition.weights.family }.map(\.name)
    }

    var parts: [ReportPart] {
        let source = weights.source
        let numbers = Double(weights.parameters) / 1e6
        let origin = source.publication.map { "as published: \($0)" } ?? "not a published file that is known here"
        var rows = [
            [
                "network",
                "\(weights.family.title), \(weights.architecture), \(String(format: "%.1f", numbers)) million numbers",
            ],
            ["source", "\(source.file) (\(format))"],
            ["SHA-256", "\(source.sha256), \(origin)"],
            ["stored", "\(weights.path), \(Shown.bytes(Int64(weights.bytes)))"],
            ["SHA-256", weights.sha256],
            ["terms", weights.licence],
            ["for", segmenters.joined(separator: ", ")],
        ]
        if let replaced { rows.append(["instead of", "\(replaced.source.file), SHA-256 \(replaced.source.sha256)"]) }
        var parts: [ReportPart] = [
            .line("\(weights.name) \(wasThere ? "was there already: nothing to do" : "was added").")
        ]
        parts.append(.table(TextTable([.init(""), .init("")], rows: rows)))
        parts += notes.map { .line($0) }
        return parts + [.line(""), .line(disclaimer)]
    }
}
