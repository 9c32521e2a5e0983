// SPDX-License-Identifier: Apache-2.0
//
// The measurements of a report, computed from the masks. docs/pacs.md defines each of them for people who recompute it.

import Foundation
import Imaging

/// One number of a report.
struct ReportNumber: Hashable {
    let name: CodedConcept
    /// A Decimal String.
    let value: String
    let unit: CodedConcept
    /// `nil` if the name says how the number was measured.
    var method: CodedConcept?

    /// A number with six significant digits; `nil` if a Decimal String cannot hold it.
    init?(_ name: CodedConcept, _ value: Double, _ unit: CodedConcept, method: CodedConcept? = nil) {
        guard value.isFinite, abs(value) < 1e12 else { return nil }
        self.name = name
        self.value = WrittenText.decimal(Double(String(format: "%.6g", value)) ?? value)
        self.unit = unit
        self.method = method
    }

    /// A count, with all of its digits.
    init(_ name: CodedConcept, count: Int, _ unit: CodedConcept) {
        (self.name, value, self.unit) = (name, "\(count)", unit)
    }

    /// The confidence in an answer, rounded as a SEG states it, so that an answer that is read back gives the same text.
    init(confidence: Confidence) {
        (name, unit, method) = (ReportCode.confidence, ReportCode.noUnits, ReportCode.statedBySegmenter)
        value = String(format: "%.3f", confidence.value.isFinite ? confidence.value : 0)
    }
}

/// The findings that a report measures.
enum ReportFindings {
    /// A finding in one frame.
    struct InFrame {
        /// The frame of the SEG and its source frame.
        let frame: SegmentationFrame
        /// The bounding box: pixels from the upper left corner of the source frame.
        let box: Box
        let numbers: [ReportNumber]
        let tracking: Tracking
    }

    /// The names by which other objects refer to a finding.
    struct Tracking: Hashable {
        /// Tracking Identifier.
        let identifier: String
        /// Tracking Unique Identifier.
        let uid: String
    }

    /// Most frames that a report measures.
    ///
    /// With more of them, nobody reads the report, and a reader may refuse it.
    static let frameLimit = 1000

    case nothing
    /// Findings in single frames: at most ``frameLimit`` of them, and the number of frames with a finding.
    case frames([InFrame], of: Int)
    /// One finding in a volume.
    case volume([ReportNumber])

    /// Measures the masks of a stack.
    ///
    /// - Parameters:
    ///   - masks: one for each frame of the sources, in their order.
    ///   - object: the sources and the description.
    init(_ masks: [Mask], of object: ObjectContext) {
        let frames = object.stack.frames(of: masks)
        let extents = Dictionary(
            uniqueKeysWithValues: frames.compactMap { frame in MaskExtent(masks[frame.mask]).map { (frame.mask, $0) } })
        if frames.isEmpty {
            self = .nothing
        } else if object.description.segmenter.accepts == .volume, let geometry = object.stack.geometry() {
            self = .volume(Self.volume(frames, extents, object, spacing: geometry.spacingBetweenSlices))
        } else {
            self = .frames(
                frames.prefix(Self.frameLimit).compactMap { frame in
                    let tracking = Self.tracking(frame, isOnly: frames.count == 1, object)
                    return extents[frame.mask].map { Self.inFrame(frame, $0, tracking, object) }
                }, of: frames.count)
        }
    }

    /// The names of the finding in one frame.
    ///
    /// The only frame of a SEG shows the finding of the segment. The findings of several frames may differ, and viewers
    /// take groups of one Tracking UID for one finding: OHIF shows all of their numbers at the first one.
    private static func tracking(_ frame: SegmentationFrame, isOnly: Bool, _ object: ObjectContext) -> Tracking {
        let (identifier, uid) = (object.trackingIdentifier, object.trackingUID)
        if isOnly { return Tracking(identifier: identifier, uid: uid) }
        let source = object.sources[frame.source]
        return Tracking(
            identifier: "\(identifier), frame \(frame.placeInStack)",
            uid: DerivedUID.make([uid, source.sopInstanceUID, "\(frame.frameNumber)"]))
    }

    private static func inFrame(
        _ frame: SegmentationFrame, _ extent: MaskExtent, _ tracking: Tracking, _ object: ObjectContext
    ) -> InFrame {
        let method = ReportCode.betweenPixels
        var numbers: [ReportNumber?] = [
            ReportNumber(ReportCode.area, count: extent.area, ReportCode.pixels),
            ReportNumber(ReportCode.longAxis, extent.longestDiameter(), ReportCode.pixels, method: method),
            ReportNumber(ReportCode.boxWidth, extent.box.width, ReportCode.pixels),
            ReportNumber(ReportCode.boxHeight, extent.box.height, ReportCode.pixels),
        ]
        if let (row, column) = object.spacing(of: frame) {
            numbers += [
                ReportNumber(ReportCode.area, Double(extent.area) * row * column, ReportCode.squareMillimetre),
                ReportNumber(
                    ReportCode.longAxis, extent.longestDiameter(rowSpacing: row, columnSpacing: column),
                    ReportCode.millimetre, method: method),
                ReportNumber(ReportCode.boxWidth, extent.box.width * column, ReportCode.millimetre),
                ReportNumber(ReportCode.boxHeight, extent.box.height * row, ReportCode.millimetre),
            ]
        }
        let confidences = object.description.frameConfidences
        if frame.mask < confidences.count { numbers.append(ReportNumber(confidence: confidences[frame.mask])) }
        return InFrame(frame: frame, box: extent.box, numbers: numbers.compactMap { $0 }, tracking: tracking)
    }

    /// Measures a structure; `spacing` is the distance between slices, mm.
    private static func volume(
        _ frames: [SegmentationFrame], _ extents: [Int: MaskExtent], _ object: ObjectContext, spacing: Double
    ) -> [ReportNumber] {
        var planes: [(extent: MaskExtent, plane: PlaneGeometry)] = []
        for frame in frames {
            guard let extent = extents[frame.mask], let plane = object.stack.frames[frame.mask].plane else { continue }
            planes.append((extent, plane))
        }
        let volume = planes.reduce(0) { sum, slice in
            sum + Double(slice.extent.area) * slice.plane.rowSpacing * slice.plane.columnSpacing * spacing
        }
        let longAxis = planes.map { slice in
            slice.extent.longestDiameter(
                rowSpacing: slice.plane.rowSpacing, columnSpacing: slice.plane.columnSpacing)
        }
        let numbers = [
            ReportNumber(ReportCode.volume, volume / 1000, ReportCode.millilitre, method: ReportCode.sumOfVoxels),
            ReportNumber(
                ReportCode.diameter, VolumeExtent.longestDiameter(of: planes), ReportCode.millimetre,
                method: ReportCode.betweenVoxels),
            ReportNumber(
                ReportCode.longAxis, longAxis.max() ?? 0, ReportCode.millimetre, method: ReportCode.betweenPixels),
            object.description.confidence.map(ReportNumber.init(confidence:)),
        ]
        return numbers.compactMap { $0 }
    }
}

extension ObjectContext {
    /// The distance between rows and that between columns, mm; `nil` if Pixel Spacing does not give them.
    fileprivate func spacing(of frame: SegmentationFrame) -> (row: Double, column: Double)? {
        if let plane = stack.frames[frame.mask].plane { return (plane.rowSpacing, plane.columnSpacing) }
        let pixelSpacing = sources[frame.source].pixelSpacing
        let numbers = pixelSpacing.compactMap { Double($0) }
        guard numbers.count == 2, pixelSpacing.count == 2, numbers.allSatisfy({ $0.isFinite && $0 > 0 }) else {
            return nil
        }
        return (numbers[0], numbers[1])
    }
}
