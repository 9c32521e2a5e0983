// SPDX-License-Identifier: Apache-2.0
//
// Commands that change the installed weights, and record the change in the audit trail of a node.

import ArgumentParser
import Foundation
import Inference
import Persistence
import Segmentation

// MARK: - Add

struct ModelsAddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Adds a checkpoint: recognises, checks, converts and stores it.",
        discussion: """
            FILE is a checkpoint as its publisher offers it (sam_vit_b_01ec64.pth, medsam_vit_b.pth, lite_medsam.pth, \
            sam2.1_hiera_tiny.pt, MedSAM2_latest.pt), a checkpoint that was trained with the publisher's scripts, or a \
            safetensors file. A safetensors file may use the names of transformers, and its metadata may have the \
            inputSize of a scaled-down network. Kontur does not run anything in the file, and refuses a file that asks \
            for anything but tensors. FILE is not needed afterwards.
            """)

    @Argument(help: ArgumentHelp("The checkpoint.", valueName: "file"))
    var file: String

    @Option(help: "Call the weights by this name instead of the name of their network, such as sam_vit_b.")
    var name: String?

    @Option(help: "Take the weights for this family if the tensors do not show it: sam, medsam, sam2 or medsam2.")
    var family: ChoiceArgument<ModelFamily>?

    @Option(
        help: ArgumentHelp(
            """
            Height and width of the network's input, for a network that was trained at another size than the published \
            one. SAM 2, MedSAM2 and LiteMedSAM need it, because their tensors do not show the size.
            """, valueName: "pixels"))
    var inputSize: Int?

    @Option(help: ArgumentHelp("Record these terms instead of the publisher's.", valueName: "text"))
    var terms: String?

    @Flag(help: "Replace other weights of the same name.")
    var replace = false

    @OptionGroup var place: ModelsPlace
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let name, Segmenters.catalogue.contains(where: { $0.name == name }) {
            throw ValidationError("--name \(name) is the name of a segmenter; choose another name for the weights")
        }
    }

    func run() throws {
        let configuration = try place.configuration()
        let store = place.store(configuration)
        // Opened first, so that weights are not added if the trail cannot be opened.
        let journal = try place.journal(configuration, for: store)
        let progress = StoreProgress()
        let options = WeightStore.AddOptions(
            name: name, family: family?.value, inputSize: inputSize, terms: terms, replaces: replace)
        let addition: WeightStore.Addition
        do {
            defer { progress.clear() }
            addition = try store.add(file, options, progress: progress.show)
        } catch let error as CheckpointError {
            throw CommandError("could not add '\(TextTable.printable(file))': \(error)")
        }
        if let journal { try Self.record(addition, in: journal) }
        try ReportPrinter.print(AdditionReport(addition, trail: journal?.spool.path), as: output.format)
    }

    /// Records the new weights, and the removal of the weights that they replaced.
    private static func record(_ addition: WeightStore.Addition, in journal: Journal) throws {
        do {
            try journal.write { transaction in
                if let replaced = addition.replaced {
                    try transaction.modelRemoved(AuditedWeights(replaced), by: .operatorOfThisCommand)
                }
                try transaction.modelInstalled(AuditedWeights(addition.weights), by: .operatorOfThisCommand)
            }
        } catch {
            throw CommandError(
                "the weights \(addition.weights.name) were added, but not recorded in the audit trail: \(error); run the "
                    + "command again to record them")
        }
    }
}

/// Added weights, and the assumptions about them.
struct AdditionReport: Report {
    var weights: InstalledWeights
    var format: String
    var notes: [String]
    var wasThere: Bool
    var replaced: InstalledWeights?
    /// Names of the segmenters that can run with the weights.
    var segmenters: [String]
    /// The spool whose audit trail records the weights.
    var trail: String?
    var disclaimer = Formatted.disclaimer

    init(_ addition: WeightStore.Addition, trail: String?) {
        weights = addition.weights
        format = addition.format
        notes = addition.notes
        wasThere = addition.wasThere
        replaced = addition.replaced
        segmenters = Segmenters.catalogue.filter { $0.family == addition.weights.family }.map(\.name)
        self.trail = trail
    }

    var parts: [ReportPart] {
        let source = weights.source
        let numbers = String(format: "%.1f", Double(weights.parameters) / 1e6)
        let origin = source.publication.map { "as published: \($0)" } ?? "not a published file that is known here"
        let input = weights.inputSize.map { ", input \($0) x \($0)" } ?? ""
        var rows = [
            ["network", "\(weights.family.title), \(weights.architecture), \(numbers) million parameters\(input)"],
            ["source", "\(source.file) (\(format))"],
            ["SHA-256", "\(source.sha256), \(origin)"],
            ["stored", "\(weights.path), \(Formatted.bytes(Int64(weights.bytes)))"],
            ["SHA-256", weights.sha256],
            ["terms", weights.licence],
            ["for", segmenters.joined(separator: ", ")],
        ]
        if let replaced { rows.append(["instead of", "\(replaced.source.file), SHA-256 \(replaced.source.sha256)"]) }
        if let trail { rows.append(["recorded in", "the audit trail of \(trail)"]) }
        var parts: [ReportPart] = [
            .line("\(weights.name) \(wasThere ? "was there already: nothing to do" : "was added").")
        ]
        parts.append(.table(TextTable([.init(""), .init("")], rows: rows)))
        parts += notes.map { .line($0) }
        return parts + [.line(""), .line(disclaimer)]
    }
}

// MARK: - Remove

struct ModelsRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Removes installed weights.",
        discussion: "Routes that name the weights fail from then on. 'kontur config check' lists these routes.")

    @Argument(help: ArgumentHelp("The weights, as 'kontur models list' calls them.", valueName: "name"))
    var name: String

    @OptionGroup var place: ModelsPlace
    @OptionGroup var output: OutputOptions

    func run() throws {
        let configuration = try place.configuration()
        let store = place.store(configuration)
        let removed: InstalledWeights
        if let journal = try place.journal(configuration, for: store) {
            let weights = try store.weights(name)
            // The record goes back if the removal fails.
            removed = try journal.write { transaction in
                try transaction.modelRemoved(AuditedWeights(weights), by: .operatorOfThisCommand)
                return try store.remove(name)
            }
        } else {
            removed = try store.remove(name)
        }
        try ReportPrinter.print(RemovalReport(removed: removed), as: output.format)
    }
}

/// Removed weights.
struct RemovalReport: Report {
    var removed: InstalledWeights

    var parts: [ReportPart] { [.line("\(removed.name) was removed (made of \(removed.source.file)).")] }
}

extension AuditedWeights {
    /// Installed weights, as the trail names them.
    init(_ weights: InstalledWeights) { self.init(name: weights.name, sha256: weights.sha256) }
}
