// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DICOM
import Foundation
import Imaging
import Platform
import Routing
import Segmentation
import Supervision

struct SegmentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "segment",
        abstract: "Segments DICOM files and pictures without a node; writes SEGs, reports, captures and PNG overlays.",
        discussion: """
            The command sorts instances into stacks. The first route that matches a stack selects its segmenter. Routes \
            come from --config, or from the built-in routes: endoscopy, and MR that is described as late enhancement. \
            --segmenter and --route skip the conditions of routes. Other files in a folder are listed and skipped.

            PNG and JPEG files are segmented if the command line names each file, together with --segmenter or --route. \
            This serves to try a segmenter out. A picture gets a mask and an overlay as PNG files, but no DICOM objects.

            'kontur models list' shows all segmenters, and those whose weights are not installed. Segmenters that need a \
            prompt find one by themselves unless --box or --point is given.

            A series whose instances name two patients is set aside. Segment the files of each patient by themselves.

            Exit code 1 means that a file could not be read, that a stack failed, that a series was set aside, or that \
            nothing was segmented.
            """)

    @Argument(help: ArgumentHelp("DICOM files, folders of DICOM files, or pictures.", valueName: "path"))
    var paths: [String]

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Write results to this folder; it is created if it is missing.", valueName: "folder"))
    var output: String

    @Option(help: ArgumentHelp("Use the routes of this configuration.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Use this route for every stack, whatever its conditions.", valueName: "name"))
    var route: String?

    @Option(help: ArgumentHelp("Use this segmenter for every stack.", valueName: "name"))
    var segmenter: String?

    @Option(help: ArgumentHelp("Use these installed weights if several fit the segmenter.", valueName: "name"))
    var weights: String?

    @Option(
        help: ArgumentHelp(
            "Segment this many frames per second of videos and cine loops, whatever the routes say.",
            valueName: "number"))
    var framesPerSecond: Double?

    @OptionGroup var models: ModelsOptions
    @OptionGroup var prompt: PromptOptions

    @Option(
        help: ArgumentHelp(
            "Write the inputs and outputs of the network to this folder, one safetensors file per frame.",
            valueName: "folder"))
    var dump: String?

    @Option(help: "Viewer or archive for which SEGs are written: strict, ohif, slicer or labelmap; see docs/pacs.md.")
    var viewerProfile = ChoiceArgument(ViewerProfile.Name.strict)

    @Flag(help: "Write a measurement report (DICOM SR) beside each SEG, also if nothing was found.")
    var report = false

    @Flag(help: "Write pictures with the contours burnt in (DICOM secondary capture) beside each SEG.")
    var pictures = false

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
            throw ValidationError("\(option) needs a segmenter; name it with --segmenter or --route")
        }
        if let framesPerSecond, !(framesPerSecond > 0 && framesPerSecond <= 1000) {
            throw ValidationError("--frames-per-second takes a number above 0 and at most 1000")
        }
        var isFolder: ObjCBool = true
        if let dump, FileManager.default.fileExists(atPath: dump, isDirectory: &isFolder), !isFolder.boolValue {
            throw ValidationError("--dump '\(dump)' is a file; name a folder, which is created if it is missing")
        }
        if weights != nil, segmenter == nil {
            throw ValidationError("--weights needs --segmenter; routes name their weights themselves")
        }
    }

    private static func unknown(_ what: String, _ name: String, known: [String]) -> String {
        "unknown \(what) '\(name)'; \(Spelling.advice(for: name, among: known))"
    }

    func run() async throws {
        let names = Segmenters.catalogue.map(\.name)
        let configuration = try NodeConfiguration.offline(config, segmenters: names)
        let installed = try InstalledModels(folder: models.models, configuration: configuration)
        let planner = try planner(for: configuration, installed)
        let folder = try OutputFolder.create(output)
        CurrentProcess.ignoreBrokenPipes()
        let pool = WorkerPool.forCommand()
        let progress = ProgressLine()
        let study = await OfflineStudy(reading: paths, with: pool, progress: progress)
        let segmentation = OfflineSegmentation(
            study: study, folder: folder, dumpFolder: dump.map { URL(fileURLWithPath: $0).standardizedFileURL.path },
            viewerProfile: viewerProfile.value, report: self.report, pictures: pictures, planner: planner,
            pool: pool, progress: progress)
        var report = SegmentReport(stacks: study.mixed.map(SegmentReport.StackLine.init), files: study.files)
        for (index, stack) in study.stacks.enumerated() {
            report.stacks.append(await segmentation.segment(stack, number: index + 1))
        }
        for (index, picture) in study.pictures.enumerated() {
            let number = study.stacks.count + index + 1
            report.pictures.append(await segmentation.segment(picture: picture, number: number))
        }
        await pool.shutDown()
        try ReportPrinter.print(report, as: printing.format)
        if let failure = report.failure { throw CommandError(failure) }
    }

    /// The planner for the routes, or for the segmenter or the route that the options name.
    ///
    /// - Throws: an error if the named segmenter, or the segmenter of the named route, is not installed.
    private func planner(
        for configuration: NodeConfiguration, _ installed: InstalledModels
    ) throws -> StackPlanner {
        var planner = installed.planner(for: configuration)
        if let framesPerSecond {
            for index in planner.targets.indices { planner.targets[index].route.framesPerSecond = framesPerSecond }
        }
        var chosen: Route
        if let segmenter {
            chosen = Route(
                name: "", when: [], segmenter: segmenter, weights: weights, framesPerSecond: framesPerSecond)
        } else if let route {
            guard let found = planner.routes.first(where: { $0.name == route }) else {
                throw ValidationError(Self.unknown("route", route, known: planner.routes.map(\.name)))
            }
            chosen = found
        } else {
            return planner
        }
        chosen.options = prompt.options.completed(by: chosen.options)
        try prompt.check(chosen.options, segmenter: chosen.segmenter)
        let target = installed.target(chosen)
        _ = try target.segmenter.get()
        planner.forced = target
        return planner
    }
}

extension SegmenterOptions {
    /// A copy of these options.
    ///
    /// Each option that is not set has the value of `other`.
    fileprivate func completed(by other: SegmenterOptions) -> SegmenterOptions {
        SegmenterOptions(
            box: box ?? other.box, points: points.isEmpty ? other.points : points,
            keySlice: keySlice ?? other.keySlice,
            slicePrompts: slicePrompts.isEmpty ? other.slicePrompts : slicePrompts, margin: margin ?? other.margin,
            shift: shift ?? other.shift, recipe: recipe ?? other.recipe, promptEvery: promptEvery ?? other.promptEvery)
    }
}
