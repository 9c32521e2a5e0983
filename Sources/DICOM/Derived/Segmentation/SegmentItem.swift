// SPDX-License-Identifier: Apache-2.0
//
// The item of Segment Sequence: PS3.3 C.8.20.4 (Segment Description Macro), 10.16 (Algorithm Identification Macro).

import Foundation
import Imaging

/// The items of Segment Sequence.
enum SegmentItem {
    /// The number of the background in a label map.
    static let background = 0

    /// The segment; in a label map the background too, because each value of Pixel Data needs an item (C.8.20.2.3).
    static func all(_ context: SegmentationContext) -> [ItemElements] {
        context.encoding == .labelMap ? [backgroundItem(context), make(context)] : [make(context)]
    }

    private static func backgroundItem(_ context: SegmentationContext) -> ItemElements {
        let segmenter = context.description.segmenter
        return ItemElements([
            (.segmentNumber, .short(background)),
            (.segmentLabel, .text("background")),
            (.segmentAlgorithmType, .text("AUTOMATIC")),
            (.segmentAlgorithmName, WrittenText.ascii("\(segmenter.name) \(segmenter.version)", limit: 64)),
            (.segmentedPropertyCategoryCodeSequence, Code.item(Code.background)),
            (.segmentedPropertyTypeCodeSequence, Code.item(Code.background)),
            (.recommendedDisplayCIELabValue, CIELab.value(DisplayColor(red: 0, green: 0, blue: 0))),
        ])
    }

    /// Describes the segment: label, algorithm, codes and colour.
    private static func make(_ context: SegmentationContext) -> ItemElements {
        let segmenter = context.description.segmenter
        return ItemElements([
            (.segmentNumber, .short(1)),
            // Viewers list segments by their labels: two segmenters' answers for one image must not look alike.
            (.segmentLabel, WrittenText.ascii("\(segmenter.segmentLabel) (\(segmenter.name))", limit: 64)),
            (.segmentDescription, WrittenText.ascii(text(context.description), limit: 1024)),
            (.segmentAlgorithmType, .text(context.description.algorithmType)),
            (.segmentAlgorithmName, WrittenText.ascii("\(segmenter.name) \(segmenter.version)", limit: 64)),
            (.segmentationAlgorithmIdentificationSequence, .items([algorithm(context.description)])),
            (.segmentedPropertyCategoryCodeSequence, Code.item(segmenter.category)),
            (.segmentedPropertyTypeCodeSequence, Code.item(segmenter.type)),
            (.anatomicRegionSequence, segmenter.anatomicRegion.map(Code.item)),
            (.trackingID, WrittenText.ascii(context.object.trackingIdentifier, limit: 128)),
            (.trackingUID, .text(context.object.trackingUID)),
            (.recommendedDisplayCIELabValue, CIELab.value(segmenter.recommendedDisplayColor)),
        ])
    }

    private static func algorithm(_ description: ObjectDescription) -> ItemElements {
        let segmenter = description.segmenter
        return ItemElements([
            (.algorithmFamilyCodeSequence, Code.item(Code.artificialIntelligence)),
            (.algorithmName, WrittenText.ascii(segmenter.name, limit: 64)),
            (.algorithmVersion, WrittenText.ascii(segmenter.version, limit: 64)),
            (.algorithmParameters, WrittenText.ascii(description.algorithmParameters, limit: 1024)),
            (.algorithmSource, .text(Maker.manufacturer)),
        ])
    }

    /// Segment Description, which viewers show beside the segment: its maker and its confidence.
    private static func text(_ description: ObjectDescription) -> String {
        let segmenter = description.segmenter
        var text = "\(segmenter.segmentLabel) by \(segmenter.name) \(segmenter.version) (\(description.standing))"
        if let confidence = description.confidence { text += "; \(ConfidenceText.words(confidence))" }
        return text
    }
}

/// The confidence of a stack or frame as a SEG states it, such as `confidence 0.912 (viewAgreement 0.950)`.
enum ConfidenceText {
    /// The words for a confidence.
    static func words(_ confidence: Confidence) -> String {
        let measures = confidence.measures.sorted { $0.key < $1.key }.map { "\($0.key) \(rounded($0.value))" }
        let value = "confidence \(rounded(confidence.value))"
        return measures.isEmpty ? value : "\(value) (\(measures.joined(separator: ", ")))"
    }

    /// A number with three digits after the point.
    private static func rounded(_ value: Double) -> String { String(format: "%.3f", value) }

    /// Reads the words at the end of a text; `nil` if they are not the words of a confidence.
    ///
    /// The result has the rounded numbers, so `words` gives the same text again.
    static func read(_ text: String) -> Confidence? {
        guard let start = text.range(of: "confidence ", options: .backwards) else { return nil }
        let parts = text[start.upperBound...].split(separator: " (", maxSplits: 1)
        guard let first = parts.first, let value = Double(first) else { return nil }
        var measures: [String: Double] = [:]
        if parts.count == 2 {
            guard parts[1].hasSuffix(")") else { return nil }
            for measure in parts[1].dropLast().split(separator: ", ") {
                guard let space = measure.lastIndex(of: " "),
                    let value = Double(measure[measure.index(after: space)...])
                else { return nil }
                measures[String(measure[..<space])] = value
            }
        }
        let confidence = Confidence(value: value, measures: measures)
        return text.hasSuffix(words(confidence)) ? confidence : nil
    }
}

/// Colours in the encoding of PS3.3 C.10.7.1.1.
enum CIELab {
    /// The value of Recommended Display CIELab Value.
    static func value(_ color: DisplayColor) -> ElementValue {
        .bytes(encoded(color).flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
    }

    /// L*, a* and b* of an sRGB colour under D50: 0...65535 stands for 0...100, and for -128...127.
    static func encoded(_ color: DisplayColor) -> [UInt16] {
        let linear = [color.red, color.green, color.blue].map { channel in
            let value = Double(channel) / 255
            return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
        }
        // sRGB to XYZ, adapted to D50 (Bradford), by the white point: IEC 61966-2-1 and ICC.1 Annex E.
        let matrix = [
            [0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733],
        ]
        let white = [0.96422, 1.0, 0.82521]
        let f = zip(matrix, white).map { row, white in
            let ratio = zip(row, linear).reduce(0) { $0 + $1.0 * $1.1 } / white
            return ratio > 216.0 / 24_389 ? cbrt(ratio) : (24_389.0 / 27 * ratio + 16) / 116
        }
        let lab = [116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])]
        let scaled = [lab[0] * 65_535 / 100, (lab[1] + 128) * 65_535 / 255, (lab[2] + 128) * 65_535 / 255]
        return scaled.map { UInt16(min(max($0.rounded(), 0), 65_535)) }
    }
}
