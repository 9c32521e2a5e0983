// SPDX-License-Identifier: Apache-2.0
//
// Writes a measurement report: PS3.3 A.35.3 (Comprehensive SR), PS3.16 TID 1500. A Comprehensive SR can hold everything
// that the report says, and more archives and viewers take it than a Comprehensive 3D SR.

public import Imaging

/// The writer of measurement reports.
public enum MeasurementReport {
    /// Writes the report of one answer as a Part 10 file, Explicit VR Little Endian.
    ///
    /// The same description, sources and masks give the same bytes. If every mask is empty, the report says that the
    /// structure is absent, and does not refer to a SEG.
    ///
    /// - Parameters:
    ///   - description: everything that does not come from sources or masks; it names the SEG.
    ///   - sources: the open source instances, in stack order.
    ///   - masks: one for each frame of the sources, in their order, on the source grid.
    ///   - path: a file of this name is replaced. The file is not synced.
    /// - Throws: `ObjectError`.
    public static func write(
        _ description: ObjectDescription, sources: [SegmentationSource], masks: [Mask], to path: String
    ) throws(ObjectError) {
        let content = try content(description, sources, masks)
        var item = ItemElements()
        for module in ObjectModules.all { for row in module { row.put(content.object, into: &item) } }
        for module in ReportModules.all { for row in module { row.put(content, into: &item) } }
        try content.object.write(item, to: path)
    }

    /// The content of the report that these values should give.
    static func content(
        _ description: ObjectDescription, _ sources: [SegmentationSource], _ masks: [Mask]
    ) throws(ObjectError) -> ReportContent {
        guard let segmentation = description.segmentation else {
            throw .inconsistent(reason: "the report does not name a SEG")
        }
        let object = try ObjectContext(description, sources)
        try object.stack.check(masks)
        return ReportContent(
            object: object, segmentation: segmentation, findings: ReportFindings(masks, of: object))
    }
}
