// SPDX-License-Identifier: Apache-2.0
//
// Writes a DICOM Segmentation object: PS3.3 A.51. dcmseg 3.6.7 packs the bits of a frame wrongly if its size is not a
// multiple of 8, so pixels are packed here.

public import Imaging

/// The writer of DICOM Segmentation objects.
public enum SegmentationInstance {
    /// Largest length of a value: the one 32-bit number above it means "undefined" (PS3.5 7.1.1).
    private static let pixelDataLimit = 0xFFFF_FFFE

    /// Writes one segment of one stack as a Part 10 file, Explicit VR Little Endian.
    ///
    /// The same description, sources and masks give the same bytes.
    ///
    /// - Parameters:
    ///   - description: everything that does not come from sources or masks.
    ///   - sources: the open source instances, in stack order.
    ///   - masks: one for each frame of the sources, in their order, on the source grid. Frames with an empty mask are
    ///     left out.
    ///   - probabilities: of the same shape, 0...1; needed only for `.fractional`.
    ///   - path: a file of this name is replaced. The file is not synced.
    /// - Returns: the number of frames written.
    /// - Throws: `SegmentationObjectError`; `nothingFound` if every mask is empty.
    @discardableResult
    public static func write(
        _ description: SegmentationDescription, sources: [SegmentationSource], masks: [Mask],
        probabilities: [[Float]] = [], to path: String
    ) throws(SegmentationObjectError) -> Int {
        let newest = description.newestSource
        guard sources.indices.contains(newest) else {
            throw .inconsistent(reason: "there is no source instance \(newest + 1) of \(sources.count)")
        }
        let read = try SegmentationSources(sources)
        try check(description, read, masks, probabilities)
        let context = context(
            description, read, newest: CopiedValues(try sources[newest].dataSet(at: newest)), masks, probabilities)
        var item = ItemElements()
        for module in SegmentationModules.all { for row in module { row.put(context, into: &item) } }
        let meta = FileMeta(
            sopClassUID: SOPClass.segmentation, sopInstanceUID: description.sopInstanceUID,
            transferSyntaxUID: TransferSyntax.explicitVRLittleEndian.rawValue)
        do { try DataSetEncoder(item).write(meta, to: path) } catch { throw .cannotWrite(reason: error.reason) }
        return context.frames.count
    }

    private static func check(
        _ description: SegmentationDescription, _ sources: SegmentationSources, _ masks: [Mask],
        _ probabilities: [[Float]]
    ) throws(SegmentationObjectError) {
        let first = sources.instances[0]
        guard masks.count == sources.frames.count else {
            throw .inconsistent(reason: "there are \(masks.count) masks for \(sources.frames.count) frames")
        }
        guard masks.allSatisfy({ $0.rows == first.rows && $0.columns == first.columns }) else {
            throw .inconsistent(
                reason: "a mask does not have the size of its source, \(first.rows) x \(first.columns)")
        }
        guard masks.contains(where: { !$0.isEmpty }) else { throw .nothingFound }
        let pixels = first.rows * first.columns
        if description.type == .fractional {
            guard probabilities.count == masks.count, probabilities.allSatisfy({ $0.count == pixels }) else {
                throw .inconsistent(reason: "the probabilities do not have the shape of the masks")
            }
        }
        let bytes = masks.count * pixels / (description.type == .binary ? 8 : 1)
        guard bytes < pixelDataLimit else { throw .tooLarge(bytes: bytes) }
    }

    private static func context(
        _ description: SegmentationDescription, _ sources: SegmentationSources, newest: CopiedValues, _ masks: [Mask],
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
        let first = sources.instances[0]
        return SegmentationContext(
            description: description, sources: sources.instances, newest: newest, frames: frames,
            rows: first.rows, columns: first.columns,
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

/// Pixel Data of a SEG.
enum SegmentationPixels {
    /// Packs masks: one bit per pixel, the first pixel in the lowest bit, without padding between frames.
    ///
    /// - SeeAlso: PS3.5 8.1.1, PS3.3 C.8.20.2.
    static func packed(_ masks: [Mask]) -> [UInt8] {
        let bits = masks.reduce(0) { $0 + $1.pixels.count }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(bits / 8 + 2)
        var byte: UInt8 = 0
        var next: UInt8 = 1
        for mask in masks {
            for pixel in mask.pixels {
                if pixel != 0 { byte |= next }
                next <<= 1
                if next == 0 {
                    bytes.append(byte)
                    (byte, next) = (0, 1)
                }
            }
        }
        if next != 1 { bytes.append(byte) }
        return even(bytes)
    }

    /// Scales probabilities of 0...1 to one byte per pixel, 0...255 (PS3.3 C.8.20.2.3.2).
    static func scaled(_ probabilities: [[Float]]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(probabilities.reduce(1) { $0 + $1.count })
        for frame in probabilities {
            for probability in frame {
                bytes.append(probability > 0 ? UInt8((min(probability, 1) * 255).rounded()) : 0)
            }
        }
        return even(bytes)
    }

    private static func even(_ bytes: [UInt8]) -> [UInt8] { bytes.count % 2 == 0 ? bytes : bytes + [0] }
}

/// The reason why a SEG was not written, or does not hold the intended content.
public enum SegmentationObjectError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The source instance at `index` of the stack cannot be read.
    case source(index: Int, DataSetError)
    /// Every mask is empty, and a SEG has at least one frame.
    case nothingFound
    /// Description, sources and masks do not fit each other.
    case inconsistent(reason: String)
    /// Pixel Data would not fit into one element.
    case tooLarge(bytes: Int)
    /// The file could not be encoded or written.
    case cannotWrite(reason: String)
    /// The written file could not be read back.
    case cannotRead(DataSetError)
    /// The file that was read back differs from the intended content.
    case mismatch(reason: String)

    /// The mistake and its place.
    public var description: String {
        switch self {
        case .source(let index, let error): "could not read source instance \(index + 1): \(error)"
        case .nothingFound: "nothing was found: every mask is empty"
        case .inconsistent(let reason): "the segmentation does not fit its sources: \(reason)"
        case .tooLarge(let bytes):
            "the segmentation would need \(bytes) bytes of pixel data, more than one object can hold"
        case .cannotWrite(let reason): "could not write the segmentation: \(reason)"
        case .cannotRead(let error): "could not read the segmentation back: \(error)"
        case .mismatch(let reason): "the segmentation read back is not the one that was meant: \(reason)"
        }
    }
}
