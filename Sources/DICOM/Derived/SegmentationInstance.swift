// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// A DICOM Segmentation object: PS3.3 A.51.
public enum SegmentationInstance {
    /// Segmentation Storage.
    public static let sopClassUID = "1.2.840.10008.5.1.4.1.1.66.4"

    /// The length of a value is 32 bits, of which the last number means something else: PS3.5 7.1.1.
    private static let pixelDataLimit = 0xFFFF_FFFE

    /// Writes one segment of one stack as a Part 10 file, Explicit VR Little Endian. The same description, sources and
    /// masks give the same bytes.
    ///
    /// - Parameters:
    ///   - sources: the source instances, in stack order.
    ///   - masks: one for each frame of the sources, in their order, on the source grid. Frames whose mask is empty are
    ///     left out.
    ///   - probabilities: of the same shape, 0...1; needed for `.fractional` only.
    ///   - path: replaced if it is there. Nothing is synced.
    /// - Returns: the number of frames written.
    /// - Throws: `SegmentationError`; `nothingFound` when every mask is empty.
    @discardableResult
    public static func write(
        _ description: SegmentationDescription, sources: [SegmentationSource], masks: [Mask],
        probabilities: [[Float]] = [], to path: String
    ) throws(SegmentationError) -> Int {
        let read = try SegmentationSources(sources, newest: description.newestSource)
        try check(description, read, masks, probabilities)
        let context = context(description, read, masks, probabilities)
        var item = EncodedItem()
        for module in SegmentationModules.all { for row in module { row.put(context, into: &item) } }
        let meta = FileMeta(
            sopClassUID: sopClassUID, sopInstanceUID: description.sopInstanceUID,
            transferSyntaxUID: TransferSyntax.explicitVRLittleEndian.rawValue)
        do { try DataSetEncoder(item).write(meta, to: path) } catch { throw .cannotWrite(reason: error.reason) }
        return context.frames.count
    }

    private static func check(
        _ description: SegmentationDescription, _ sources: SegmentationSources, _ masks: [Mask],
        _ probabilities: [[Float]]
    ) throws(SegmentationError) {
        let header = sources.instances[0].header
        guard masks.count == sources.frames.count else {
            throw .inconsistent(reason: "there are \(masks.count) masks for \(sources.frames.count) frames")
        }
        guard masks.allSatisfy({ $0.rows == header.rows && $0.columns == header.columns }) else {
            throw .inconsistent(reason: "a mask is not of the size of its source, \(header.rows) x \(header.columns)")
        }
        guard masks.contains(where: { !$0.isEmpty }) else { throw .nothingFound }
        let pixels = header.rows * header.columns
        if description.type == .fractional {
            guard probabilities.count == masks.count, probabilities.allSatisfy({ $0.count == pixels }) else {
                throw .inconsistent(reason: "the probabilities are not of the shape of the masks")
            }
        }
        let bytes = masks.count * pixels / (description.type == .binary ? 8 : 1)
        guard bytes < pixelDataLimit else { throw .tooLarge(bytes: bytes) }
    }

    private static func context(
        _ description: SegmentationDescription, _ sources: SegmentationSources, _ masks: [Mask],
        _ probabilities: [[Float]]
    ) -> SegmentationContext {
        let ranks = sources.ranks()
        let written = masks.indices.filter { !masks[$0].isEmpty }
            .sorted { (ranks?[$0] ?? 0, $0) < (ranks?[$1] ?? 0, $1) }
        let frames = written.enumerated().map { rank, mask in
            SegmentationFrame(
                mask: mask, source: sources.frames[mask].source, frameNumber: sources.frames[mask].frameNumber,
                placeInStack: mask + 1, rank: rank + 1)
        }
        let profile = ViewerProfile.named(description.viewerProfile)
        let header = sources.instances[0].header
        return SegmentationContext(
            description: description, sources: sources.instances, newest: sources.newest, frames: frames,
            rows: header.rows, columns: header.columns,
            geometry: sources.geometry()
                ?? profile.madeUpGeometry(
                    frameOfReferenceUID: DerivedUID.make([description.sopInstanceUID, "frame of reference"]),
                    frames: masks.count),
            orientationWithoutGeometry: profile.orientationWithoutGeometry?.map(WrittenText.decimal),
            pixelData: description.type == .binary
                ? SegmentationPixels.packed(written.map { masks[$0] })
                : SegmentationPixels.scaled(written.map { probabilities[$0] }))
    }
}
