// SPDX-License-Identifier: Apache-2.0
//
// The content items of a structured report: PS3.3 C.17.3 (SR Document Content) and C.18 (the macros of value types).

import Foundation
import Imaging

/// One content item, ready to be put under its parent.
struct ContentItem {
    /// Relationship Type (0040,A010).
    enum Relationship: String {
        case contains = "CONTAINS"
        case hasConceptModifier = "HAS CONCEPT MOD"
        case hasObservationContext = "HAS OBS CONTEXT"
        case hasAcquisitionContext = "HAS ACQ CONTEXT"
        case selectedFrom = "SELECTED FROM"
    }

    private(set) var elements: ItemElements

    private init(_ type: String, _ relationship: Relationship?, _ name: CodedConcept?) {
        elements = ItemElements([
            (.relationshipType, relationship.map { .text($0.rawValue) }),
            (.valueType, .text(type)),
            (.conceptNameCodeSequence, name.map(Code.item)),
        ])
    }

    private func with(_ attribute: Attribute, _ value: ElementValue) -> ContentItem {
        var item = self
        item.elements[attribute] = value
        return item
    }

    /// A container; `nil` as relationship makes the root of the tree.
    ///
    /// - Parameters:
    ///   - name: the concept.
    ///   - relationship: to its parent.
    ///   - template: the number of the template of PS3.16 that its content follows; `nil` inside another template.
    ///   - content: its children, in the order of the template.
    /// - Returns: an item of value type CONTAINER.
    static func container(
        _ name: CodedConcept, _ relationship: Relationship? = .contains, template: String? = nil,
        content: [ContentItem]
    ) -> ContentItem {
        var item = ContentItem("CONTAINER", relationship, name)
            .with(.continuityOfContent, .text("SEPARATE"))
            .with(.contentSequence, .items(content.map(\.elements)))
        if let template {
            item.elements[.contentTemplateSequence] = .items([
                ItemElements([(.mappingResource, .text("DCMR")), (.templateIdentifier, .text(template))])
            ])
        }
        return item
    }

    /// A text in ASCII.
    static func text(
        _ name: CodedConcept, _ text: String, _ relationship: Relationship = .contains
    ) -> ContentItem {
        ContentItem("TEXT", relationship, name).with(.textValue, WrittenText.ascii(text, limit: 1024))
    }

    /// A code.
    static func code(
        _ name: CodedConcept, _ value: CodedConcept, _ relationship: Relationship = .contains
    ) -> ContentItem {
        ContentItem("CODE", relationship, name).with(.conceptCodeSequence, Code.item(value))
    }

    /// A UID.
    static func uid(_ name: CodedConcept, _ uid: String, _ relationship: Relationship = .contains) -> ContentItem {
        ContentItem("UIDREF", relationship, name).with(.uid, .text(uid))
    }

    /// A number with its unit.
    ///
    /// - Parameters:
    ///   - name: the measurement.
    ///   - value: a Decimal String of at most 16 characters.
    ///   - unit: a code of UCUM.
    ///   - modifiers: content items that say how the number was measured.
    /// - Returns: an item of value type NUM.
    static func number(
        _ name: CodedConcept, _ value: String, unit: CodedConcept, _ modifiers: [ContentItem] = []
    ) -> ContentItem {
        let measured = ItemElements([
            (.measurementUnitsCodeSequence, Code.item(unit)), (.numericValue, .text(value)),
        ])
        let item = ContentItem("NUM", .contains, name).with(.measuredValueSequence, .items([measured]))
        return modifiers.isEmpty ? item : item.with(.contentSequence, .items(modifiers.map(\.elements)))
    }

    /// An image, or frames or segments of one.
    ///
    /// - Parameters:
    ///   - name: the purpose; `nil` for none.
    ///   - sopClassUID: SOP Class UID of the image.
    ///   - sopInstanceUID: SOP Instance UID of the image.
    ///   - frame: the number of a frame, from 1; `nil` for the whole image.
    ///   - segment: the number of a segment, which excludes a frame (PS3.3 10.3); `nil` for none.
    ///   - relationship: to its parent.
    /// - Returns: an item of value type IMAGE.
    static func image(
        _ name: CodedConcept?, _ sopClassUID: String, _ sopInstanceUID: String, frame: Int? = nil, segment: Int? = nil,
        _ relationship: Relationship = .contains
    ) -> ContentItem {
        let reference = ItemElements([
            (.referencedSOPClassUID, .text(sopClassUID)), (.referencedSOPInstanceUID, .text(sopInstanceUID)),
            (.referencedFrameNumber, frame.map { .text("\($0)") }),
            (.referencedSegmentNumber, segment.map { .short($0) }),
        ])
        return ContentItem("IMAGE", relationship, name).with(.referencedSOPSequence, .items([reference]))
    }

    /// A closed polyline around a box in an image.
    ///
    /// - Parameters:
    ///   - name: the purpose.
    ///   - box: pixels from the upper left corner of the upper left pixel (PS3.3 C.18.6.1.1).
    ///   - image: an item with the relationship SELECTED FROM.
    /// - Returns: an item of value type SCOORD.
    static func rectangle(_ name: CodedConcept, _ box: Box, on image: ContentItem) -> ContentItem {
        let corners = [
            (box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1), (box.x0, box.y0),
        ]
        return ContentItem("SCOORD", .contains, name)
            .with(.graphicData, .floats(corners.flatMap { [Float($0.0), Float($0.1)] }))
            .with(.graphicType, .text("POLYLINE"))
            .with(.contentSequence, .items([image.elements]))
    }
}

extension ElementValue {
    /// Numbers of VR FL.
    fileprivate static func floats(_ values: [Float]) -> ElementValue {
        .bytes(
            values.flatMap { value in
                (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(8 * $0)) }
            })
    }
}
