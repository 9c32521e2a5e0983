// SPDX-License-Identifier: Apache-2.0
//
// Functional groups of a SEG: PS3.3 A.51.5.1 and C.7.6.16.2; its dimensions: C.7.6.17.

import Imaging

/// Shared and per-frame functional groups.
enum FunctionalGroups {
    /// The item of Shared Functional Groups Sequence.
    static func shared(_ context: SegmentationContext) -> ItemElements {
        var item = ItemElements()
        if let geometry = context.geometry {
            // C.7.6.16.2.1.
            item[.pixelMeasuresSequence] = .items([
                ItemElements([
                    (.sliceThickness, .text(WrittenText.decimal(geometry.sliceThickness))),
                    (.spacingBetweenSlices, .text(WrittenText.decimal(geometry.spacingBetweenSlices))),
                    (.pixelSpacing, WrittenText.decimals(geometry.pixelSpacing)),
                ])
            ])
        }
        // C.7.6.16.2.4.
        if let orientation = context.geometry?.orientation ?? context.orientationWithoutGeometry {
            item[.planeOrientationSequence] = .items([
                ItemElements([(.imageOrientationPatient, WrittenText.decimals(orientation))])
            ])
        }
        return item
    }

    /// One item of Per-Frame Functional Groups Sequence.
    static func perFrame(_ frame: SegmentationFrame, of context: SegmentationContext) -> ItemElements {
        var item = ItemElements([
            (.derivationImageSequence, .items([derivation(frame, of: context)])),
            (.frameContentSequence, .items([content(frame, of: context)])),
        ])
        if context.encoding != .labelMap {
            // C.8.20.3.1. Never shared: Weasis looks for it in each frame. A pixel of a label map names its segment.
            item[.segmentIdentificationSequence] = .items([ItemElements([(.referencedSegmentNumber, .short(1))])])
        }
        if let geometry = context.geometry {
            // C.7.6.16.2.3.
            item[.planePositionSequence] = .items([
                ItemElements([
                    (.imagePositionPatient, WrittenText.decimals(geometry.positions[frame.placeInStack - 1]))
                ])
            ])
        }
        return item
    }

    /// The item of Derivation Image, which names the one source frame (C.7.6.16.2.6).
    private static func derivation(_ frame: SegmentationFrame, of context: SegmentationContext) -> ItemElements {
        let instance = context.object.sources[frame.source]
        let source = ItemElements([
            (.referencedSOPClassUID, .text(instance.sopClassUID)),
            (.referencedSOPInstanceUID, .text(instance.sopInstanceUID)),
            (.referencedFrameNumber, instance.numberOfFrames > 1 ? .text("\(frame.frameNumber)") : nil),
            (.spatialLocationsPreserved, .text("YES")),
            (.purposeOfReferenceCodeSequence, Code.item(Code.sourceImage)),
        ])
        return ItemElements([
            (.sourceImageSequence, .items([source])),
            (.derivationCodeSequence, Code.item(Code.segmentation)),
        ])
    }

    /// The item of Frame Content (C.7.6.16.2.2).
    private static func content(_ frame: SegmentationFrame, of context: SegmentationContext) -> ItemElements {
        var item = ItemElements([
            (.dimensionIndexValues, context.encoding == .labelMap ? .long(frame.rank) : .long(1, frame.rank))
        ])
        let confidences = context.description.frameConfidences
        if frame.mask < confidences.count {
            item[.frameComments] = WrittenText.ascii(ConfidenceText.words(confidences[frame.mask]), limit: 1024)
        }
        if context.geometry == nil {
            item[.stackID] = .text("1")
            item[.inStackPositionNumber] = .long(frame.rank)
        }
        return item
    }

    /// The dimensions: segment, then position; of a label map, whose frames hold all segments, the position.
    ///
    /// Without geometry, the frame's number among the written frames replaces the position.
    static func dimensions(_ context: SegmentationContext) -> [ItemElements] {
        let place: (Attribute, Attribute, String) =
            context.geometry == nil
            ? (.inStackPositionNumber, .frameContentSequence, "Frame")
            : (.imagePositionPatient, .planePositionSequence, "Position")
        let segment = (Attribute.referencedSegmentNumber, Attribute.segmentIdentificationSequence, "Segment")
        let indices = context.encoding == .labelMap ? [place] : [segment, place]
        return indices.map { pointer, group, label in
            ItemElements([
                (.dimensionOrganizationUID, .text(context.object.partUID("dimension organization"))),
                (.dimensionIndexPointer, .tag(of: pointer)),
                (.functionalGroupPointer, .tag(of: group)),
                (.dimensionDescriptionLabel, .text(label)),
            ])
        }
    }
}
