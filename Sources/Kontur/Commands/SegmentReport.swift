// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What was segmented, and what was not and why.
struct SegmentReport: Report {
    enum Outcome: String, Encodable {
        case segmented
        case nothingFound
        case unmatched
        case undetermined
        case unfit
        case failed
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
        var foundFrames: Int?
        var seconds: Double?
        /// 0...1, of the whole stack.
        var confidence: Double?
        /// 0...1, one a frame, in the order of the stack's instances; and the measures they were made of.
        var frameConfidence: [Double] = []
        var frameMeasures: [String: [Double]] = [:]
        var segmentation: String?
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
        /// 0...1
        var confidence: Double?
        var measures: [String: Double] = [:]
        /// Black, and white where something was found.
        var mask: String?
        var overlay: String?
        var reason: String?
        var notes: [String] = []
    }

    var stacks: [StackLine]
    /// PNG and JPEG files, which get masks and no SEG.
    var pictures: [PictureLine] = []
    var files: [FileOutcome]
    var disclaimer = Shown.disclaimer

    init(stacks: [StackLine], pictures: [PictureLine] = [], files: [FileOutcome]) {
        self.stacks = stacks
        self.pictures = pictures
        self.files = files
    }

    /// What went wrong, in one line; `nil` when nothing did.
    var failure: String? {
        if let failure = FileOutcome.failure(files) { return failure }
        let outcomes = stacks.map { ($0.outcome, $0.reason) } + pictures.map { ($0.outcome, $0.reason) }
        if let failed = outcomes.first(where: { $0.0 == .failed }) {
            let count = outcomes.count { $0.0 == .failed }
            let what = stacks.isEmpty ? "picture" : pictures.isEmpty ? "stack" : "input"
            return "\(Shown.count(count, what)) failed; the first: \(failed.1 ?? "no reason given")"
        }
        if outcomes.contains(where: { $0.0 == .segmented || $0.0 == .nothingFound }) { return nil }
        let reason = outcomes.first?.1 ?? files.first.map { "\($0.path): \($0.reason)" } ?? "there are no files"
        return "nothing was segmented: \(reason)"
    }

    var parts: [ReportPart] {
        var parts: [ReportPart] = []
        if stacks.isEmpty, pictures.isEmpty {
            parts.append(.line("No stack: none of the files holds an image to segment."))
        }
        if !stacks.isEmpty { parts.append(.table(table)) }
        parts += stacks.flatMap { stack in stack.notes.map { .line("\(Shown.uid(stack.seriesInstanceUID)): \($0)") } }
        if !pictures.isEmpty {
            if !stacks.isEmpty { parts.append(.line("")) }
            parts.append(.table(pictureTable))
            parts += pictures.flatMap { picture in picture.notes.map { .line("\(picture.picture): \($0)") } }
            parts.append(.line("Pictures get masks as PNG files and no SEG: nothing says whose they are."))
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
                .init("segmenter"),
                .init("outcome"), .init("found in", isNumber: true), .init("time", isNumber: true),
                .init("confidence", isNumber: true), .init("SEG"), .init("overlays"), .init("because"),
            ],
            rows: stacks.map { stack in
                let found = stack.foundFrames.map { "\($0) of \(stack.frames ?? 0)" }
                return [
                    Shown.uid(stack.seriesInstanceUID), stack.modality ?? "", String(stack.instances),
                    stack.route ?? "",
                    stack.segmenter ?? "", stack.outcome.inWords,
                    found ?? "", stack.seconds.map { Shown.seconds(.seconds($0)) } ?? "",
                    Shown.fraction(stack.confidence),
                    stack.segmentation ?? "",
                    stack.overlays.first.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path } ?? "",
                    stack.reason ?? "",
                ]
            })
    }
    private var pictureTable: TextTable {
        TextTable(
            [
                .init("picture"), .init("segmenter"), .init("outcome"), .init("time", isNumber: true),
                .init("confidence", isNumber: true), .init("mask"), .init("overlay"), .init("because"),
            ],
            rows: pictures.map { picture in
                [
                    picture.picture, picture.segmenter ?? "", picture.outcome.inWords,
                    picture.seconds.map { Shown.seconds(.seconds($0)) } ?? "", Shown.fraction(picture.confidence),
                    picture.mask ?? "", picture.overlay ?? "", picture.reason ?? "",
                ]
            })
    }
}

extension SegmentReport.Outcome {
    fileprivate var inWords: String { self == .nothingFound ? "nothing found" : rawValue }
}
