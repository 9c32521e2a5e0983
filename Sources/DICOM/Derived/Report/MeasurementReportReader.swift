// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// A measurement report read from its file, by code that is independent of the writer.
///
/// The reader walks the content tree in the bytes that the flat scanner found.
public struct MeasurementReportReader: Sendable {
    /// One number of a group.
    public struct Number: Sendable, Hashable {
        /// The measurement: Concept Name Code Sequence.
        public let name: CodedConcept
        /// Numeric Value, as the file writes it.
        public let value: String
        /// The unit: Measurement Units Code Sequence.
        public let unit: CodedConcept
    }

    /// One measurement group.
    public struct Group: Sendable, Hashable {
        /// The template of the group: 1410, 1411 or 1501.
        public let template: String
        /// Tracking Unique Identifier.
        public let trackingUID: String
        /// Whether the structure was found; `nil` if the group does not say so.
        public let isPresent: Bool?
        /// The confidence of the whole answer; `nil` if the group does not state it.
        public let confidence: String?
        /// A remark of the group; `nil` without one.
        public let comment: String?
        /// SOP Instance UID of the SEG; `nil` if the group does not name one.
        public let segmentationUID: String?
        /// The frame of the SEG, from 1; `nil` if the group does not name one.
        public let segmentationFrame: Int?
        /// SOP Instance UID of the source image of a frame; `nil` if the group does not name one.
        public let sourceUID: String?
        /// The frame of the source image, from 1; `nil` if the group does not name one.
        public let sourceFrame: Int?
        /// The bounding box, pixels; `nil` if the group does not have one.
        public let box: Box?
        /// The numbers in the order of the file.
        public let numbers: [Number]
    }

    /// SOP Instance UID.
    public let sopInstanceUID: String
    /// The SOP Instance UIDs that Current Requested Procedure Evidence Sequence lists.
    public let evidence: Set<String>
    /// The measurement groups in the order of the file.
    public let groups: [Group]

    /// Reads a report.
    ///
    /// - Throws: `ObjectError.cannotRead`, or `.mismatch` if the file is not a report of Kontur's form.
    public init(path: String) throws(ObjectError) {
        let data: DataSet
        let header: InstanceHeader
        do {
            let file = try InstanceFile(path: path)
            (data, header) = (try file.dataSet(), file.header)
        } catch { throw .cannotRead(error) }
        guard header.sopClassUID == SOPClass.comprehensiveSR,
            Self.template(nil, data) == "1500"
        else { throw .mismatch(reason: "it is not a measurement report") }
        sopInstanceUID = header.sopInstanceUID
        evidence = Set(
            data.items(.currentRequestedProcedureEvidenceSequence)
                .flatMap { data.items(.referencedSeriesSequence, in: $0) }
                .flatMap { data.items(.referencedSOPSequence, in: $0) }
                .compactMap { data.string(.referencedSOPInstanceUID, in: $0) })
        let measurements = data.items(.contentSequence).filter { Self.name($0, data)?.value == "126010" }
        groups = measurements.flatMap { data.items(.contentSequence, in: $0) }
            .filter { Self.name($0, data)?.value == "125007" }.map { Self.group($0, data) }
    }

    private static func template(_ item: DataSet.Item?, _ data: DataSet) -> String? {
        data.items(.contentTemplateSequence, in: item).first.flatMap { data.string(.templateIdentifier, in: $0) }
    }

    private static func name(_ item: DataSet.Item, _ data: DataSet) -> CodedConcept? {
        code(.conceptNameCodeSequence, item, data)
    }

    private static func code(_ attribute: Attribute, _ item: DataSet.Item, _ data: DataSet) -> CodedConcept? {
        guard let code = data.items(attribute, in: item).first, let value = data.string(.codeValue, in: code) else {
            return nil
        }
        return CodedConcept(
            value, data.string(.codingSchemeDesignator, in: code) ?? "", data.string(.codeMeaning, in: code) ?? "")
    }

    private static func group(_ group: DataSet.Item, _ data: DataSet) -> Group {
        let items = data.items(.contentSequence, in: group)
        func first(_ code: String) -> DataSet.Item? { items.first { name($0, data)?.value == code } }
        func reference(_ item: DataSet.Item?) -> (uid: String?, frame: Int?) {
            guard let reference = item.flatMap({ data.items(.referencedSOPSequence, in: $0).first }) else {
                return (nil, nil)
            }
            return (
                data.string(.referencedSOPInstanceUID, in: reference),
                data.integer(.referencedFrameNumber, in: reference)
            )
        }
        let segmentation = reference(first("121214") ?? first("121191"))
        let source = reference(first("121233"))
        let corners = first("boundingBox").map { data.doubles(.graphicData, in: $0) } ?? []
        let numbers = items.compactMap { item -> Number? in
            guard data.string(.valueType, in: item) == "NUM", let name = name(item, data),
                let measured = data.items(.measuredValueSequence, in: item).first,
                let value = data.string(.numericValue, in: measured),
                let unit = code(.measurementUnitsCodeSequence, measured, data)
            else { return nil }
            return Number(name: name, value: value, unit: unit)
        }
        return Group(
            template: template(group, data) ?? "",
            trackingUID: first("112040").flatMap { data.string(.uid, in: $0) } ?? "",
            isPresent: first("705057003").flatMap { code(.conceptCodeSequence, $0, data) }
                .map { $0.value == "52101004" },
            confidence: first("confidence").flatMap { data.string(.textValue, in: $0) },
            comment: first("121106").flatMap { data.string(.textValue, in: $0) },
            segmentationUID: segmentation.uid, segmentationFrame: segmentation.frame, sourceUID: source.uid,
            sourceFrame: source.frame,
            box: corners.count == 10 ? Box(x0: corners[0], y0: corners[1], x1: corners[4], y1: corners[5]) : nil,
            numbers: numbers)
    }
}

extension MeasurementReportReader {
    /// Reads a written report back and compares it with the intended content: references, boxes and numbers.
    ///
    /// - Parameters:
    ///   - path: the written file, which is read anew.
    ///   - description: the description, the sources and the masks that were given to `MeasurementReport.write`.
    ///   - sources: the open source instances, in stack order.
    ///   - masks: one for each frame of the sources.
    /// - Throws: `ObjectError.mismatch` with the first difference.
    public static func verify(
        path: String, _ description: ObjectDescription, sources: [SegmentationSource], masks: [Mask]
    ) throws(ObjectError) {
        let read = try MeasurementReportReader(path: path)
        guard read.sopInstanceUID == description.sopInstanceUID else { throw .mismatch(reason: "it has another UID") }
        let content = try MeasurementReport.content(description, sources, masks)
        let isFound = masks.contains { !$0.isEmpty }
        var named = Set(sources.segmented.map(\.file.header.sopInstanceUID))
        if isFound { named.insert(content.segmentation.sopInstanceUID) }
        guard read.evidence == named else { throw .mismatch(reason: "its evidence lists other instances") }
        let segment = content.object.trackingUID
        guard let summary = read.groups.first, summary.template == "1501", summary.trackingUID == segment,
            summary.isPresent == isFound
        else {
            throw .mismatch(reason: "it does not say whether something was found")
        }
        guard summary.confidence == description.confidence.map({ ReportNumber(confidence: $0).value }) else {
            throw .mismatch(reason: "it states another confidence")
        }
        let measured = Array(read.groups.dropFirst())
        switch content.findings {
        case .nothing:
            guard measured.isEmpty else { throw .mismatch(reason: "it measures something that was not found") }
        case .volume(let numbers):
            guard measured.count == 1, measured[0].trackingUID == segment,
                measured[0].segmentationUID == content.segmentation.sopInstanceUID,
                measured[0].segmentationFrame == nil
            else { throw .mismatch(reason: "it does not refer to the segment once") }
            try compare(measured[0], numbers, at: 1)
        case .frames(let findings, _):
            guard measured.count == findings.count else {
                throw .mismatch(reason: "it has \(measured.count) findings and should have \(findings.count)")
            }
            for (index, (group, finding)) in zip(measured, findings).enumerated() {
                let source = content.object.sources[finding.frame.source]
                guard group.trackingUID == finding.tracking.uid,
                    group.segmentationUID == content.segmentation.sopInstanceUID,
                    group.segmentationFrame == finding.frame.rank, group.sourceUID == source.sopInstanceUID,
                    (group.sourceFrame ?? 1) == finding.frame.frameNumber
                else { throw .mismatch(reason: "finding \(index + 1) refers to another frame") }
                // The area and the box are counted anew, pixel by pixel.
                let mask = masks[finding.frame.mask]
                guard group.box == box(of: mask), group.numbers.first?.value == "\(mask.area)" else {
                    throw .mismatch(reason: "finding \(index + 1) has another extent")
                }
                try compare(group, finding.numbers, at: index + 1)
            }
        }
    }

    private static func compare(
        _ group: Group, _ numbers: [ReportNumber], at place: Int
    ) throws(ObjectError) {
        let meant = numbers.map { Number(name: $0.name, value: $0.value, unit: $0.unit) }
        guard group.numbers == meant else { throw .mismatch(reason: "the numbers of finding \(place) differ") }
    }

    private static func box(of mask: Mask) -> Box? {
        var box: Box?
        for index in mask.pixels.indices where mask.pixels[index] != 0 {
            let (x, y) = (Double(index % mask.columns), Double(index / mask.columns))
            let old = box ?? Box(x0: x, y0: y, x1: x + 1, y1: y + 1)
            box = Box(
                x0: min(old.x0, x), y0: min(old.y0, y), x1: max(old.x1, x + 1), y1: max(old.y1, y + 1))
        }
        return box
    }
}
