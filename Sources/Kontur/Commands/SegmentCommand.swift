// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DICOM
import Foundation
import Imaging
import Routing
import Segmentation
import Supervision

struct SegmentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "segment",
        abstract: "Segments DICOM files and pictures without a node: SEG files, PNG overlays and a table.",
        discussion: """
            Instances are sorted into stacks, and each stack goes to the segmenter of the first route that takes it: of \
            the configuration, or of the built-in routes (endoscopy, and MR described as late enhancement). \
            --segmenter and --route skip the conditions. Files in folders that are no DICOM are listed and passed over.

            PNG and JPEG files that are named themselves are segmented with --segmenter or --route: for trying out. They \
            get a mask and an overlay as PNG files, and no SEG.

            'kontur models list' says which segmenters there are, and which of them need weights that are not installed. \
            Without --box and --point those that need a prompt find one by themselves.

            Exit code 1: a file could not be read, a stack failed, or nothing was segmented.
            """)

    @Argument(help: ArgumentHelp("DICOM files, folders of them, or pictures.", valueName: "path"))
    var paths: [String]

    @Option(name: .shortAndLong, help: ArgumentHelp("Where results go; made when missing.", valueName: "folder"))
    var output: String

    @Option(help: ArgumentHelp("A configuration whose routes decide.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Treat every stack as this route says, whatever its conditions.", valueName: "name"))
    var route: String?

    @Option(help: ArgumentHelp("Give every stack to this segmenter.", valueName: "name"))
    var segmenter: String?

    @Option(help: ArgumentHelp("Installed weights for the segmenter, where several fit.", valueName: "name"))
    var weights: String?

    @OptionGroup var models: ModelsOptions
    @OptionGroup var prompt: PromptOptions

    @Option(
        help: ArgumentHelp(
            "Write what the network took in and gave out here, one safetensors file a frame.", valueName: "folder"))
    var dump: String?

    @Option(help: "For which viewer the SEG is written where images have no geometry: strict, ohif or slicer.")
    var viewerProfile = Word(ViewerProfile.Name.strict)

    @OptionGroup var printing: OutputOptions

    func validate() throws {
        if route != nil, segmenter != nil { throw ValidationError("give either --route or --segmenter, not both") }
        let names = Segmenters.catalogue.map(\.name)
        if let segmenter {
            guard names.contains(segmenter) else {
                throw ValidationError(Self.unknown("segmenter", segmenter, known: names))
            }
            try prompt.check(prompt.options, segmenter: segmenter)
        } else if let option = prompt.names.first, route == nil {
            throw ValidationError("\(option) asks something of one segmenter: name it with --segmenter or --route")
        }
        if weights != nil, segmenter == nil {
            throw ValidationError("--weights goes with --segmenter; routes name their weights themselves")
        }
    }

    private static func unknown(_ what: String, _ name: String, known: [String]) -> String {
        let nearest = Spelling.nearest(to: name, among: known).map { "did you mean '\($0)'?" }
        return "unknown \(what) '\(name)'; \(nearest ?? "known are \(known.joined(separator: ", "))")"
    }

    func run() async throws {
        let names = Segmenters.catalogue.map(\.name)
        let configuration =
            try config.map { try NodeConfiguration.load($0, segmenters: names) }
            ?? BuiltInRoutes.configuration(segmenters: names)
        let installed = try InstalledModels(folder: models.models, configuration: configuration)
        let choice = try choice(from: configuration.routes, installed)
        let folder = try outputFolder()
        Signals.ignoreBrokenPipes()
        let pool = WorkerPool.forCommand()
        let progress = ProgressLine()
        let study = await OfflineStudy(reading: paths, with: pool, progress: progress)
        let segmentation = OfflineSegmentation(
            study: study, folder: folder, dumpFolder: dump.map { URL(fileURLWithPath: $0).standardizedFileURL.path },
            viewerProfile: viewerProfile.value, installed: installed, pool: pool, progress: progress)
        var report = SegmentReport(stacks: [], files: study.files)
        for (index, stack) in study.stacks.enumerated() {
            report.stacks.append(await segmentation.segment(stack, number: index + 1, choice: choice))
        }
        for (index, picture) in study.pictures.enumerated() {
            let number = study.stacks.count + index + 1
            report.pictures.append(await segmentation.segment(picture: picture, number: number, choice: choice))
        }
        await pool.shutDown()
        try ReportPrinter.print(report, as: printing.format)
        if let failure = report.failure { throw CommandError(failure) }
    }

    private func outputFolder() throws -> URL {
        let folder = URL(fileURLWithPath: output, isDirectory: true).standardizedFileURL
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch {
            throw CommandError("the folder '\(output)' cannot be made; choose another --output")
        }
        return folder
    }

    /// - Throws: when the segmenter that is named, or that of the route, cannot run here.
    private func choice(from routes: [Route], _ installed: InstalledModels) throws -> OfflineSegmentation.Choice {
        var chosen: Route
        if let segmenter {
            chosen = Route(name: "", when: [], segmenter: segmenter, weights: weights)
        } else if let route {
            guard let found = routes.first(where: { $0.name == route }) else {
                throw ValidationError(Self.unknown("route", route, known: routes.map(\.name)))
            }
            chosen = found
        } else {
            return .byConditions(routes)
        }
        chosen.options = prompt.options.completed(by: chosen.options)
        try prompt.check(chosen.options, segmenter: chosen.segmenter)
        _ = try installed.segmenter(chosen.segmenter, weights: chosen.weights)
        return .forced(chosen)
    }
}

extension SegmenterOptions {
    /// What is not asked for here is taken from `other`.
    fileprivate func completed(by other: SegmenterOptions) -> SegmenterOptions {
        SegmenterOptions(
            box: box ?? other.box, points: points.isEmpty ? other.points : points,
            keySlice: keySlice ?? other.keySlice, margin: margin ?? other.margin, shift: shift ?? other.shift)
    }
}
