// SPDX-License-Identifier: Apache-2.0
//
// Writes a DICOM Segmentation object: PS3.3 A.51. dcmseg 3.6.7 packs the bits of a frame wrongly if its size is not a
// multiple of 8, so pixels are packed here.

public import Imaging

/// The writer of DICOM Segmentation objects, label maps included.
public enum SegmentationInstance {
    /// Largest length of a value: the one 32-bit number above it means "undefined" (PS3.5 7.1.1).
    private static let pixelDataLimit = 0xFFFF_FFFE

    /// Writes one segment of one stack in the encoding of the description as a Part 10 file, Explicit VR Little Endian.
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
    /// - Throws: `ObjectError`; `nothingFound` if every mask is empty.
    @discardableResult
    public static func write(
        _ description: ObjectDescription, sources: [SegmentationSource], masks: [Mask],
        probabilities: [[Float]] = [], to path: String
    ) throws(ObjectError) -> Int {
        guard case .segmentation(let profile) = description.kind else {
            preconditionFailure("the description is that of a SEG")
        }
        let object = try ObjectContext(description, sources)
        try check(description, object.stack, masks, probabilities)
        let context = context(object, profile, masks, probabilities)
        var item = ItemElements()
        for module in ObjectModules.ofImages { for row in module { row.put(object, into: &item) } }
        for module in SegmentationModules.all { for row in module { row.put(context, into: &item) } }
        try object.write(item, to: path)
        return context.frames.count
    }

    private static func check(
        _ description: ObjectDescription, _ sources: SegmentationSources, _ masks: [Mask],
        _ probabilities: [[Float]]
    ) throws(ObjectError) {
        let first = sources.instances[0]
        try sources.check(masks)
        guard masks.contains(where: { !$0.isEmpty }) else { throw .nothingFound }
        let pixels = first.rows * first.columns
        if description.encoding == .fractional {
            guard probabilities.count == masks.count, probabilities.allSatisfy({ $0.count == pixels }) else {
                throw .inconsistent(reason: "the probabilities do not have the shape of the masks")
            }
        }
        let bytes = masks.count * pixels * description.encoding.bits / 8
        guard bytes < pixelDataLimit else { throw .tooLarge(bytes: bytes) }
    }

    private static func context(
        _ object: ObjectContext, _ profileName: ViewerProfile.Name, _ masks: [Mask], _ probabilities: [[Float]]
    ) -> SegmentationContext {
        let (description, sources) = (object.description, object.stack)
        let frames = sources.frames(of: masks)
        let profile = ViewerProfile.named(profileName)
        let first = sources.instances[0]
        let pixelData =
            switch description.encoding {
            case .binary: SegmentationPixels.packed(frames.map { masks[$0.mask] })
            case .fractional: SegmentationPixels.scaled(frames.map { probabilities[$0.mask] })
            case .labelMap: SegmentationPixels.labels(frames.map { masks[$0.mask] })
            }
        return SegmentationContext(
            object: object, frames: frames, rows: first.rows, columns: first.columns,
            geometry: sources.geometry()
                ?? profile.madeUpGeometry(
                    frameOfReferenceUID: DerivedUID.make([description.sopInstanceUID, "frame of reference"]),
                    frames: masks.count),
            orientationWithoutGeometry: profile.orientationWithoutGeometry?.map(WrittenText.decimal),
            encoding: description.encoding, pixelData: pixelData)
    }
}

/// Pixel Data of a SEG or label map.
enum SegmentationPixels {
    /// Packs masks: one bit per pixel, the first pixel in the lowest bit, without padding between frames.
    ///
    /// - SeeAlso: PS3.5 8.1.1, PS3.3 C.8.20.2.
    static func packed(_ masks: [Mask]) -> [UInt8] {
        let bits = masks.reduce(0) { $0 + $1.pixels.count }
        var bytes = [UInt8](repeating: 0, count: (bits + 7) / 8)
        var next = 0
        bytes.withUnsafeMutableBufferPointer { bytes in
            for mask in masks {
                mask.pixels.withUnsafeBytes { pixels in
                    var pixel = 0
                    func setBit() {
                        if pixels[pixel] != 0 { bytes[next / 8] |= 1 << UInt8(next % 8) }
                        pixel += 1
                        next += 1
                    }
                    while next % 8 != 0, pixel < pixels.count { setBit() }
                    while pixel + 8 <= pixels.count {
                        // The product moves the lowest bit of byte i, which is 0 or 1, to bit 56 + i.
                        let eight = UInt64(littleEndian: pixels.loadUnaligned(fromByteOffset: pixel, as: UInt64.self))
                        bytes[next / 8] = UInt8(truncatingIfNeeded: (eight &* 0x0102_0408_1020_4080) >> 56)
                        pixel += 8
                        next += 8
                    }
                    while pixel < pixels.count { setBit() }
                }
            }
        }
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

    /// The number of the segment for each pixel of the masks, 0 for the background.
    static func labels(_ masks: [Mask]) -> [UInt8] {
        even(masks.flatMap { mask in mask.pixels.map { $0 == 0 ? 0 : 1 } })
    }

    private static func even(_ bytes: [UInt8]) -> [UInt8] { bytes.count % 2 == 0 ? bytes : bytes + [0] }
}
