// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Imaging
import Inference
import Routing
import Segmentation

struct ModelsListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists segmenters, installed weights, and the sources of missing weights.",
        discussion: "With --config, the command also lists the weights that each route needs.")

    @OptionGroup var place: ModelsPlace
    @OptionGroup var output: OutputOptions

    func run() throws {
        let configuration = try place.configuration()
        let models = try InstalledModels(folder: place.models.models, configuration: configuration)
        try ReportPrinter.print(ModelsReport(models, configuration), as: output.format)
    }
}

/// The segmenters, the installed weights, and the sources of missing weights.
struct ModelsReport: Report {
    struct SegmenterLine: Encodable {
        var name: String
        var version: String
        var takes: SegmenterDescriptor.Accepts
        var segments: String
        var title: String
        var paper: String
        /// Family of the installed weights that the segmenter takes; `nil` if it takes only those in the executable.
        var family: ModelFamily?
        /// Names of installed weights that the segmenter can run with.
        var weights: [String]
        /// SHA-256 of the weights in the executable, in hexadecimal digits.
        var weightsHash: String?
        var canRun: Bool
    }

    struct RouteNeed: Encodable {
        var route: String
        var segmenter: String
        var weights: String?
        /// The reason why the route cannot run; `nil` if it can.
        var lacks: String?
    }

    struct OfferLine: Encodable {
        var family: ModelFamily
        var page: String
        var terms: String
        var segmenters: [String]
        var command: String
    }

    var folder: String
    var segmenters: [SegmenterLine]
    /// Every segmenter that can run, once per file of weights.
    var models: [SegmenterDescriptor]
    var weights: [InstalledWeights]
    /// Families without installed weights, and their sources.
    var missing: [OfferLine]
    /// The needs of each route; `nil` without a configuration.
    var routes: [RouteNeed]?

    /// Collects the lists.
    ///
    /// - Throws: `SegmentationError.rule`.
    init(_ installed: InstalledModels, _ configuration: NodeConfiguration?) throws {
        folder = installed.folder
        weights = installed.weights
        let models = try Segmenters.installed(installed.weights).map(\.descriptor)
        self.models = models
        segmenters = Segmenters.catalogue.map { Self.line($0, installed, models) }
        missing = ModelFamily.allCases.compactMap { family in
            let needing = Segmenters.catalogue.filter { $0.family == family && !$0.isEmbedded }.map(\.name)
            guard !needing.isEmpty, !installed.weights.contains(where: { $0.family == family }) else { return nil }
            return OfferLine(
                family: family, page: family.page, terms: family.publishedTerms, segmenters: needing,
                command: "kontur models add \(family.checkpoint)\(installed.options)")
        }
        routes = configuration?.routes.map { route in
            var line = RouteNeed(route: route.name, segmenter: route.segmenter, weights: route.weights)
            do {
                line.weights = try installed.segmenter(route.segmenter, weights: route.weights).weights?.name
            } catch {
                line.lacks = "\(error)"
            }
            return line
        }
    }

    private static func line(
        _ entry: SegmenterEntry, _ installed: InstalledModels, _ models: [SegmenterDescriptor]
    ) -> SegmenterLine {
        let fitting = installed.weights.filter { $0.family == entry.family }.map(\.name)
        let template = entry.template
        // A rule file beside weights changes the version of the segmenter.
        let versions = Set(models.filter { $0.name == entry.name }.map(\.version)).sorted().joined(separator: ", ")
        return SegmenterLine(
            name: entry.name, version: versions.isEmpty ? template.version : versions, takes: template.accepts,
            segments: template.segmentLabel,
            title: template.title, paper: template.paper, family: entry.family, weights: fitting,
            weightsHash: entry.isEmbedded ? template.weightsHash : nil, canRun: entry.isEmbedded || !fitting.isEmpty)
    }

    // MARK: - Text

    var parts: [ReportPart] {
        var parts: [ReportPart] = [.table(segmenterTable), .line("")]
        if weights.isEmpty {
            parts.append(.line("No weights are installed in \(folder)."))
        } else {
            parts += [.line("Installed in \(folder):"), .table(weightTable)]
        }
        if let routes { parts += [.line(""), .table(Self.table(routes))] }
        for offer in missing {
            parts += [
                .line(""),
                .line(
                    "\(offer.segmenters.joined(separator: ", ")): weights of \(offer.family.title) are not installed."),
                .line("  Their publisher offers them at \(offer.page) (\(offer.terms))."),
                .line("  Download the file, then run"),
                .line("  \(offer.command)"),
            ]
        }
        parts.append(.line(""))
        for line in segmenters { parts.append(.line("\(line.name): \(line.title). \(line.paper)")) }
        return parts + [.line(""), .line(Formatted.disclaimer)]
    }

    private var segmenterTable: TextTable {
        TextTable(
            ["segmenter", "takes", "segments", "weights", "version"].map { .init($0) },
            rows: segmenters.map { line in
                let inside = line.weightsHash.map { "inside the executable, SHA-256 \($0.prefix(16))…" }
                let weights = ([inside].compactMap { $0 } + line.weights).joined(separator: ", ")
                return [
                    line.name, line.takes.rawValue, line.segments, weights.isEmpty ? "missing" : weights, line.version,
                ]
            })
    }

    private var weightTable: TextTable {
        TextTable(
            [
                .init("weights"), .init("family"), .init("network"), .init("size", isNumber: true),
                .init("SHA-256"), .init("made of"), .init("published as"), .init("terms"),
            ],
            rows: weights.map { weights in
                [
                    weights.name, weights.family.rawValue,
                    weights.architecture + (weights.inputSize.map { ", input \($0) x \($0)" } ?? ""),
                    Formatted.bytes(Int64(weights.bytes)),
                    weights.sha256.prefix(16) + "…", weights.source.file,
                    weights.source.publication ?? "not known here",
                    weights.licence,
                ]
            })
    }

    private static func table(_ routes: [RouteNeed]) -> TextTable {
        TextTable(
            ["route", "segmenter", "weights", "lacks"].map { .init($0) },
            rows: routes.map { line in
                [
                    line.route, line.segmenter, line.weights ?? (line.lacks == nil ? "inside the executable" : ""),
                    line.lacks ?? "",
                ]
            })
    }
}
