// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DICOM
import Evaluation
import Foundation
import Imaging
import Routing
import Supervision

/// The options that say how labelled data is read.
struct EvaluationDataOptions: ParsableArguments {
    @Flag(help: "Treat images without a mask and series without a SEG as images without the structure.")
    var unlabelledIsEmpty = false

    @Option(
        help: ArgumentHelp(
            "Use only the segment with this Segment Number; by default all segments together.", valueName: "number"))
    var truthSegment: Int?

    @Option(help: ArgumentHelp("Use only the first cases, up to this number.", valueName: "number"))
    var limit: Int?
}

/// The labelled cases that a command line names.
struct LabelledData {
    private(set) var cases: [EvaluationCase] = []
    /// One line per kind of case that was left out, with the reason.
    private(set) var notes: [String] = []
    private let options: EvaluationDataOptions

    /// Reads the cases.
    ///
    /// - Parameters:
    ///   - path: a folder or a CSV table.
    ///   - options: the options of the command line.
    ///   - pool: the workers that read DICOM files.
    ///   - progress: shows the number of files read.
    /// - Throws: `EvaluationError`.
    init(at path: String, options: EvaluationDataOptions, pool: WorkerPool, progress: ProgressLine) async throws {
        self.options = options
        let absolute = URL(fileURLWithPath: path).standardizedFileURL.path
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: absolute, isDirectory: &isFolder) else {
            throw EvaluationError.unreadable(path: path, reason: "there is no such file or folder")
        }
        if !isFolder.boolValue {
            try await readTable(Manifest(path: absolute), pool, progress)
        } else if let pictures = try PictureCases(folder: absolute, unlabelledIsEmpty: options.unlabelledIsEmpty) {
            cases = pictures.cases
            note(pictures.unlabelled, "images", "without a mask")
        } else {
            try await readSeries(in: absolute, pool, progress)
        }
        guard !cases.isEmpty else {
            throw EvaluationError.noCases(path: path, reason: notes.last ?? "it has no images that can be read")
        }
        if let limit = options.limit { cases = Array(cases.prefix(limit)) }
    }

    private mutating func note(_ names: [String], _ what: String, _ why: String) {
        guard let first = names.first else { return }
        notes.append("left out: \(names.count) \(what) \(why), such as \(first)")
    }

    private mutating func readTable(_ table: Manifest, _ pool: WorkerPool, _ progress: ProgressLine) async throws {
        for row in table.rows {
            if row.isPicture {
                cases.append(
                    EvaluationCase(
                        id: row.id, group: row.group, kind: .frame, isPicture: true,
                        images: [EvaluationCase.Image(path: row.image)],
                        truth: row.mask.map { .picture(path: $0) } ?? .nothing))
                continue
            }
            let study = await OfflineStudy(reading: [row.image], with: pool, progress: progress)
            let truth = row.mask.map { mask -> EvaluationCase.Truth in
                PictureFormat(ofFile: mask) == nil
                    ? .segmentation(path: mask, segment: options.truthSegment) : .picture(path: mask)
            }
            for (number, stack) in study.stacks.enumerated() {
                cases += SeriesCases.cases(
                    stack.instances, paths: study.paths(of: stack), truth: truth ?? .nothing,
                    id: study.stacks.count == 1 ? row.id : "\(row.id)-\(number + 1)", group: row.group)
            }
            if study.stacks.isEmpty {
                notes.append("left out: line \(row.line) of the table does not name a readable image")
            }
        }
    }

    /// Reads the series in a folder, with the SEGs in the folder that refer to them.
    private mutating func readSeries(in folder: String, _ pool: WorkerPool, _ progress: ProgressLine) async throws {
        let study = await OfflineStudy(reading: [folder], with: pool, progress: progress)
        var truths: [(path: String, instances: Set<String>)] = []
        for file in study.files where file.outcome == .notAnImage || file.outcome == .own {
            let path = URL(fileURLWithPath: file.path).standardizedFileURL.path
            do {
                let truth = try SegmentationTruth(path: path, segment: options.truthSegment)
                truths.append((path, truth.instances))
            } catch {
                notes.append("left out a SEG: \(error)")
            }
        }
        var unlabelled: [String] = []
        var names: Set<String> = []
        for stack in study.stacks {
            let own = Set(stack.instances.map(\.sopInstanceUID))
            let fitting = truths.filter { !$0.instances.isDisjoint(with: own) }
            guard fitting.count <= 1 else {
                throw EvaluationError.mismatch(
                    reason:
                        "\(fitting.count) SEGs refer to series \(stack.seriesInstanceUID); leave one of them in the folder"
                )
            }
            guard let truth = fitting.first.map({ $0.path }) else {
                if options.unlabelledIsEmpty {
                    add(stack, .nothing, study, &names)
                } else {
                    unlabelled.append(stack.seriesInstanceUID)
                }
                continue
            }
            add(stack, .segmentation(path: truth, segment: options.truthSegment), study, &names)
        }
        note(unlabelled, "series", "without a SEG")
        let broken = study.files.filter { $0.outcome == .quarantined }.map(\.path)
        note(broken, "files", "that cannot be read")
    }

    private mutating func add(
        _ stack: Stack, _ truth: EvaluationCase.Truth, _ study: OfflineStudy, _ names: inout Set<String>
    ) {
        var id = stack.seriesInstanceUID
        while !names.insert(id).inserted { id += "-" }
        cases += SeriesCases.cases(stack.instances, paths: study.paths(of: stack), truth: truth, id: id)
    }
}
