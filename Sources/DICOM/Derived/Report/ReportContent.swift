// SPDX-License-Identifier: Apache-2.0
//
// The content tree of a measurement report: PS3.16 TID 1500 with TID 1204 (language), 1002 and 1004 (observer), 1600
// (image library), 1410 (planar ROI), 1411 (volumetric ROI), 1501 (measurement group), 1419 (measurements) and 4019
// (algorithm). TID 1410 is extensible: the bounding box is an item of its own.

import Imaging

/// Builds the content tree of one report.
struct ReportContent {
    let object: ObjectContext
    /// The SEG that the report measures.
    let segmentation: InstanceReference
    let findings: ReportFindings

    private var segmenter: SegmenterDescriptor { object.description.segmenter }

    /// The root of the tree.
    var root: ContentItem {
        let context: [ContentItem] =
            [.code(ReportCode.language, ReportCode.english, .hasConceptModifier)] + observer
            + [.code(ReportCode.procedureReported, ReportCode.imagingProcedure, .hasConceptModifier)]
        let measured = ContentItem.container(ReportCode.imagingMeasurements, content: [summary] + measurements)
        return .container(
            ReportCode.imagingMeasurementReport, nil, template: "1500", content: context + [imageLibrary, measured])
    }

    private var observer: [ContentItem] {
        [
            .code(ReportCode.observerType, ReportCode.device, .hasObservationContext),
            .uid(ReportCode.deviceObserverUID, Maker.deviceUID, .hasObservationContext),
            .text(ReportCode.deviceObserverName, Maker.model, .hasObservationContext),
            .text(ReportCode.deviceObserverManufacturer, Maker.manufacturer, .hasObservationContext),
            .text(
                ReportCode.deviceObserverModelName, "\(Maker.model) \(object.description.softwareVersion)",
                .hasObservationContext),
        ]
    }

    private var imageLibrary: ContentItem {
        let modality = ReportCode.modality(ofClass: object.first.sopClassUID)
        let images = object.sources.map { ContentItem.image(ReportCode.source, $0.sopClassUID, $0.sopInstanceUID) }
        let group = ContentItem.container(
            ReportCode.imageLibraryGroup,
            content: [.code(ReportCode.modality, modality, .hasAcquisitionContext)] + images)
        return .container(ReportCode.imageLibrary, content: [group])
    }

    // MARK: Groups

    /// Whether the structure was found in the stack, and the confidence of the whole answer (TID 1501).
    ///
    /// The confidence is a text: OHIF expects that a group with numbers has a region in an image.
    private var summary: ContentItem {
        var presence = ReportCode.present
        if case .nothing = findings { presence = ReportCode.absent }
        var items: [ContentItem] = [
            .uid(ReportCode.sourceSeriesForSegmentation, object.first.seriesInstanceUID),
            .code(ReportCode.presence, presence),
        ]
        if let confidence = object.description.confidence {
            items.append(.text(ReportCode.confidence, ReportNumber(confidence: confidence).value))
        }
        if case .frames(let measured, let found) = findings, measured.count < found {
            items.append(
                .text(ReportCode.comment, "\(found) frames have a finding; the first \(measured.count) are measured"))
        }
        return group("1501", ofSegment, items)
    }

    private var ofSegment: ReportFindings.Tracking {
        .init(identifier: object.trackingIdentifier, uid: object.trackingUID)
    }

    private var measurements: [ContentItem] {
        switch findings {
        case .nothing: []
        case .frames(let frames, _): frames.map(planar)
        case .volume(let numbers): [volumetric(numbers)]
        }
    }

    /// The finding in one frame (TID 1410).
    private func planar(_ finding: ReportFindings.InFrame) -> ContentItem {
        let source = object.sources[finding.frame.source]
        let frameNumber = source.numberOfFrames > 1 ? finding.frame.frameNumber : nil
        func image(_ name: CodedConcept?, _ relationship: ContentItem.Relationship) -> ContentItem {
            .image(name, source.sopClassUID, source.sopInstanceUID, frame: frameNumber, relationship)
        }
        return group(
            "1410", finding.tracking,
            [
                .image(
                    ReportCode.referencedSegmentationFrame, segmentation.sopClassUID, segmentation.sopInstanceUID,
                    frame: finding.frame.rank),
                image(ReportCode.sourceImageForSegmentation, .contains),
                .rectangle(ReportCode.boundingBox, finding.box, on: image(nil, .selectedFrom)),
            ] + finding.numbers.map(number))
    }

    /// The finding in a volume (TID 1411).
    private func volumetric(_ numbers: [ReportNumber]) -> ContentItem {
        group(
            "1411", ofSegment,
            [
                .image(
                    ReportCode.referencedSegment, segmentation.sopClassUID, segmentation.sopInstanceUID, segment: 1),
                .uid(ReportCode.sourceSeriesForSegmentation, object.first.seriesInstanceUID),
            ] + numbers.map(number))
    }

    private func group(
        _ template: String, _ tracking: ReportFindings.Tracking, _ content: [ContentItem]
    ) -> ContentItem {
        // OHIF takes the first UID of a group for its Tracking Unique Identifier.
        var items: [ContentItem] = [
            .text(ReportCode.trackingIdentifier, tracking.identifier, .hasObservationContext),
            .uid(ReportCode.trackingUID, tracking.uid, .hasObservationContext),
            .code(ReportCode.findingCategory, segmenter.category), .code(ReportCode.finding, segmenter.type),
        ]
        if let site = segmenter.anatomicRegion {
            items.append(.code(ReportCode.findingSite, site, .hasConceptModifier))
        }
        return .container(
            ReportCode.measurementGroup, template: template,
            content: items + algorithm + content)
    }

    /// Algorithm Identification (TID 4019).
    private var algorithm: [ContentItem] {
        [
            .text(ReportCode.algorithmName, segmenter.name, .hasConceptModifier),
            .text(ReportCode.algorithmVersion, segmenter.version, .hasConceptModifier),
            .text(ReportCode.algorithmManufacturer, Maker.manufacturer, .hasConceptModifier),
            .text(
                ReportCode.algorithmParameters, object.description.algorithmParameters, .hasConceptModifier),
            .code(ReportCode.algorithmFamily, Code.artificialIntelligence, .hasConceptModifier),
        ]
    }

    private func number(_ number: ReportNumber) -> ContentItem {
        let method = number.method.map { ContentItem.code(ReportCode.method, $0, .hasConceptModifier) }
        return .number(number.name, number.value, unit: number.unit, method.map { [$0] } ?? [])
    }
}
