// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Inference

/// A CSV file of every mask that sam-auto looked at, from which training/fitting/fit_auto_rule.py fits a rule for a
/// site's own weights and frames. The environment variable KONTUR_SAM_AUTO_MASKS names it, by its full path; lines
/// are added at its end.
final class SamAutoTable {
    static let variable = "KONTUR_SAM_AUTO_MASKS"

    private let file: FileHandle
    private let weights: String
    /// Frames are numbered from 0 over all runs that write to the file.
    private var frame = 0

    /// `nil` where the variable is not set.
    ///
    /// - Throws: `SegmentationError.unsuitable` where the file cannot be written.
    init?(environment: [String: String], weights: String) throws {
        guard let path = environment[Self.variable], !path.isEmpty else { return nil }
        self.weights = weights
        if !FileManager.default.fileExists(atPath: path) {
            let header = ["frame", "rows", "columns", "weights"] + SamAutoFeatures.names + ["counts"]
            _ = FileManager.default.createFile(atPath: path, contents: Data(Self.line(header).utf8))
        }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8),
            let file = FileHandle(forWritingAtPath: path)
        else {
            throw SegmentationError.unsuitable(
                segmenter: SamAuto.entry.name, reason: "\(Self.variable) names a file that cannot be written")
        }
        let last = text.split(separator: "\n").last?.split(separator: ",").first
        frame = last.flatMap { Int($0) }.map { $0 + 1 } ?? 0
        self.file = file
        try file.seekToEnd()
    }

    deinit { try? file.close() }

    func write(_ masks: [AutomaticMask], of image: ByteImage) throws {
        for mask in masks where mask.area > 0 {
            let features = SamAutoFeatures(mask, in: image).values.map { "\($0)" }
            let counts = mask.segmentation.counts.map(String.init).joined(separator: " ")
            let fields = ["\(frame)", "\(image.rows)", "\(image.columns)", weights] + features + [counts]
            try file.write(contentsOf: Data(Self.line(fields).utf8))
        }
        frame += 1
    }

    private static func line(_ fields: [String]) -> String { fields.joined(separator: ",") + "\n" }
}
