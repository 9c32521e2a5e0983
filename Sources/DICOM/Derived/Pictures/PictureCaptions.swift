// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging

/// The captions of the pictures of one answer: use, segment, standing, confidence, segmenter and place.
///
/// A caption does not name the patient, because a picture may leave its object.
struct PictureCaptions {
    private static let use = "RESEARCH USE ONLY - not a medical device"

    /// The lines of each picture.
    let all: [[String]]
    /// The words that all pictures share, for the attributes of the object.
    let common: String

    /// Writes the captions.
    ///
    /// - Parameters:
    ///   - description: segment, segmenter, standing and confidences.
    ///   - shown: the pictures.
    ///   - found: the number of frames with a finding, of which some may not be shown.
    ///   - count: the number of frames of the stack.
    ///   - ranks: for each frame of the stack, its rank from 0 in the order of positions; `nil` without geometry.
    init(
        _ description: ObjectDescription, shown: [SegmentationFrame], found: Int, of count: Int, ranks: [Int]?
    ) {
        let segmenter = description.segmenter
        let selection = shown.count < found ? "\(shown.count) of \(found) frames with a finding are shown" : nil
        let whole = description.confidence.map { "confidence \(Self.rounded($0.value))" }
        common = [
            Self.use, "\(segmenter.segmentLabel) by \(segmenter.name) \(segmenter.version) (\(description.standing))",
            whole, selection,
        ].compactMap(\.self).joined(separator: "; ")
        all = shown.map { frame in
            var confidence = whole
            if count > 1, frame.mask < description.frameConfidences.count {
                let own = "this frame \(Self.rounded(description.frameConfidences[frame.mask].value))"
                confidence = whole.map { "\($0), \(own)" } ?? own
            }
            // Viewers number slices by Instance Number, which need not follow the positions.
            let place =
                ranks.map { "slice \($0[frame.mask] + 1) of \(count) by position" }
                ?? "frame \(frame.placeInStack) of \(count)"
            return [
                Self.use, Self.title(description), confidence, "\(segmenter.name) \(segmenter.version)",
                count > 1 ? place : nil, selection,
            ].compactMap(\.self)
        }
    }

    /// A caption as long as any of them, by which the size of a picture is found.
    static func longest(_ description: ObjectDescription) -> [String] {
        let segmenter = description.segmenter
        return [
            use, title(description), "confidence 0.000, this frame 0.000", "\(segmenter.name) \(segmenter.version)",
            "slice 100000 of 100000 by position", "100000 of 100000 frames with a finding are shown",
        ]
    }

    /// The segment after a square in the colour of the contour, and how far to trust it.
    private static func title(_ description: ObjectDescription) -> String {
        "\u{25A0} \(description.segmenter.segmentLabel) (\(description.standing))"
    }

    private static func rounded(_ value: Double) -> String { String(format: "%.3f", value) }
}
