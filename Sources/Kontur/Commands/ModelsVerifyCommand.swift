// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Inference

struct ModelsVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Reads all installed weights and compares their hashes with the records.",
        discussion: "A segmenter does the same for its own weights whenever it loads them.")

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
                "\(damaged.joined(separator: ", ")) changed since they were added; run 'kontur models remove' and add their "
                    + "checkpoints again")
        }
    }
}

struct WeightsReport: Report {
    var folder: String
    var weights: [WeightStore.Verification]

    var parts: [ReportPart] {
        if weights.isEmpty { return [.line("No weights are installed in \(folder).")] }
        let rows = weights.map { [$0.name, $0.problem ?? "whole"] }
        return [.table(TextTable([.init("weights"), .init("state")], rows: rows))]
    }
}

struct ModelsRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Removes installed weights.",
        discussion: "Routes that name them fail from then on; 'kontur config check' says which.")

    @Argument(help: ArgumentHelp("The weights, as 'kontur models list' calls them.", valueName: "name"))
    var name: String

    @OptionGroup var place: ModelsPlace
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = place.store(try place.configuration())
        try ReportPrinter.print(RemovalReport(removed: store.remove(name)), as: output.format)
    }
}

struct RemovalReport: Report {
    var removed: InstalledWeights

    var parts: [ReportPart] { [.line("\(removed.name) was removed (made of \(removed.source.file)).")] }
}
