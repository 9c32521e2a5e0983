// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The results that `kontur segment` prints: one line per stack, picture and skipped file.
struct SegmentReport: Report {
    enum Outcome: String, Encodable {
        case segmented
        case nothingFound
        case unmatched
        case undetermined
        case unfit
        case failed
        /// The instances of the series name two patients.
        case setAside
    }

    struct StackLine: Encodable {
        var seriesInstanceUID: String
        var key: String
        var modality: String?
        var instances: Int
        var route: String?
        var segmenter: String?
        var outcome: Outcome
        var frames: Int?
        /// The frames that were left out because they cannot be decoded or segmented; `notes` has the reasons.
        var leftOut: Int?
        var foundFrames: Int?
        var seconds: Double?
        /// The confidence of the whole stack, 0...1.
        var confidence: Double?
        /// One confidence per frame, 0...1, in the order of the stack's instances.
        var frameConfidence: [Double] = []
        /// The measures that the confidences were made of, one value per frame.
        var frameMeasures: [String: [Double]] = [:]
        var segmentation: String?
        /// The path of the measurement report.
        var report: String?
        /// The path of the secondary capture with burnt-in contours.
        var capture: String?
        var sopInstanceUID: String?
        var overlays: [String] = []
        var reason: String?
        var notes: [String] = []
    }

    struct PictureLine: Encodable {
        var picture: String
        var segmenter: String?
        var outcome: Outcome
        var seconds: Double?
        /// The confidence of the mask, 0...1.
        var confidence: Double?
        var measures: [String: Double] = [:]
        /// The path of a PNG file: white where the structure is, otherwise black.
        var mask: String?
        var overlay: String?
        var reason: String?
        var notes: [String] = []
    }

    var stacks: [StackLine]
    /// PNG and JPEG files, which get masks but not a SEG.
    var pictures: [PictureLine] = []
    var files: [FileOutcome]
    var disclaimer = Formatted.disclaimer

    init(stacks: [StackLine], pictures: [PictureLine] = [], files: [FileOutcome]) {
        self.stacks = stacks
        self.pictures = pictures
        self.files = files
    }

    /// The first failure in one line; `nil` if something was segmented and nothing failed.
    var failure: String? {
        if let failure = FileOutcome.failure(files) { return failure }
        let outcomes = stacks.map { ($0.outcome, $0.reason) } + pictures.map { ($0.outcome, $0.reason) }
        if let mixed = outcomes.first(where: { $0.0 == .setAside }) {
            return "\(outcomes.count { $0.0 == .setAside }) series set aside: \(mixed.1 ?? "no reason given")"
        }
        if let failed = outcomes.first(where: { $0.0 == .failed }) {
            let count = outcomes.count { $0.0 == .failed }
            let what = stacks.isEmpty ? "picture" : pictures.isEmpty ? "stack" : "input"
            return "\(Formatted.count(count, what)) failed; the first failure: \(failed.1 ?? "no reason given")"
        }
        if outcomes.contains(where: { $0.0 == .segmented || $0.0 == .nothingFound }) { return nil }
        let reason =
            outcomes.first?.1 ?? files.first.map { "\($0.path): \($0.reason)" } ?? "the command line names no files"
        return "nothing was segmented: \(reason)"
    }

    var parts: [ReportPart] {
        var parts: [ReportPart] = []
        if stacks.isEmpty, pictures.isEmpty {
            parts.append(.line("No stacks: the files do not contain images that can be segmented."))
        }
        if !stacks.isEmpty { parts.append(.table(table)) }
        parts += stacks.flatMap { stack in
            stack.notes.map { .line("\(Formatted.uid(stack.seriesInstanceUID)): \($0)") }
        }
        if !pictures.isEmpty {
            if !stacks.isEmpty { parts.append(.line("")) }
            parts.append(.table(pictureTable))
            parts += pictures.flatMap { picture in picture.notes.map { .line("\(picture.picture): \($0)") } }
            parts.append(
                .line("Pictures get masks as PNG files, but not a SEG: they do not say which patient they belong to."))
        }
        if let table = FileOutcome.table(files) {
            parts.append(.line(""))
            parts.append(.table(table))
        }
        parts.append(.line(""))
        parts.append(.line(disclaimer))
        return parts
    }

    private var table: TextTable {
        TextTable(
            [
                .init("series"), .init("modality"), .init("instances", isNumber: true), .init("route"),
                .init("segmenter"), .init("outcome"), .init("found in", isNumber: true), .init("time", isNumber: true),
                .init("confidence", isNumber: true), .init("SEG"), .init("report"), .init("capture"),
                .init("overlays"), .init("reason"),
            ],
            rows: stacks.map { stack in
                let leftOut = stack.leftOut.flatMap { $0 > 0 ? ", \($0) left out" : nil } ?? ""
                let found = stack.foundFrames.map { "\($0) of \(stack.frames ?? 0)\(leftOut)" }
                return [
                    Formatted.uid(stack.seriesInstanceUID), stack.modality ?? "", String(stack.instances),
                    stack.route ?? "", stack.segmenter ?? "", stack.outcome.inWords, found ?? "",
                    stack.seconds.map { Formatted.seconds(.seconds($0)) } ?? "",
                    Formatted.fraction(stack.confidence), stack.segmentation ?? "", stack.report ?? "",
                    stack.capture ?? "",
                    stack.overlays.first.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path } ?? "",
                    stack.reason ?? "",
                ]
            })
    }

    private var pictureTable: TextTable {
        TextTable(
            [
                .init("picture"), .init("segmenter"), .init("outcome"), .init("time", isNumber: true),
                .init("confidence", isNumber: true), .init("mask"), .init("overlay"), .init("reason"),
            ],
            rows: pictures.map { picture in
                [
                    picture.picture, picture.segmenter ?? "", picture.outcome.inWords,
                    picture.seconds.map { Formatted.seconds(.seconds($0)) } ?? "",
                    Formatted.fraction(picture.confidence), picture.mask ?? "", picture.overlay ?? "",
                    picture.reason ?? "",
                ]
            })
    }
}

extension SegmentReport.Outcome {
    fileprivate var inWords: String {
        switch self {
        case .nothingFound: "nothing found"
        case .setAside: "set aside"
        default: rawValue
        }
    }
}

extension SegmentReport.StackLine {
    /// The line of a series that is not segmented, because its instances name two patients.
    init(_ series: OfflineStudy.MixedSeries) {
        self.init(
            seriesInstanceUID: series.seriesInstanceUID, key: "", modality: series.modality,
            instances: series.instances, outcome: .setAside,
            reason: "\(series.conflict); segment the files of each patient by themselves")
    }
}
