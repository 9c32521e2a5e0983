// SPDX-License-Identifier: Apache-2.0

public import Imaging

extension SegmentationReader {
    /// mm: what writing a position as a Decimal String may change.
    private static let positionTolerance = 1e-4

    /// Compares a SEG with what was meant, frame by frame: pixels, source UIDs, frame numbers and positions.
    ///
    /// - Parameters: as `SegmentationInstance.write` was given them.
    /// - Throws: `SegmentationError.mismatch` with the first difference.
    public static func verify(
        path: String, type: SegmentationType, sources: [SegmentationSource], masks: [Mask],
        probabilities: [[Float]] = []
    ) throws(SegmentationError) {
        let read = try SegmentationReader(path: path)
        guard read.type == type else { throw .mismatch(reason: "it is of another Segmentation Type") }
        var meant = try meantFrames(sources, masks, probabilities, type, placedIn: read.frameOfReferenceUID)
        guard read.frames.count == meant.count else {
            throw .mismatch(reason: "it has \(read.frames.count) frames and should have \(meant.count)")
        }
        for (index, frame) in read.frames.enumerated() {
            let key = Key(uid: frame.sourceInstanceUID, frameNumber: frame.sourceFrameNumber ?? 1)
            guard let expected = meant.removeValue(forKey: key), frame.segmentNumber == 1 else {
                throw .mismatch(reason: "frame \(index + 1) refers to another source or segment")
            }
            guard read.rows * read.columns == expected.values.count, read.rows == expected.rows,
                frame.values == expected.values
            else { throw .mismatch(reason: "the pixels of frame \(index + 1) differ") }
            if let wanted = expected.position {
                guard let position = frame.position, (position - wanted).length <= positionTolerance else {
                    throw .mismatch(reason: "frame \(index + 1) lies elsewhere")
                }
            }
        }
    }

    private struct Key: Hashable {
        let uid: String
        let frameNumber: Int
    }

    private struct Meant {
        let rows: Int
        let values: [UInt8]
        /// `nil` where the SEG does not lie in the frame of reference of its source.
        let position: Vector3?
    }

    private static func meantFrames(
        _ sources: [SegmentationSource], _ masks: [Mask], _ probabilities: [[Float]], _ type: SegmentationType,
        placedIn frameOfReferenceUID: String?
    ) throws(SegmentationError) -> [Key: Meant] {
        var meant: [Key: Meant] = [:]
        var place = 0
        for (index, source) in sources.enumerated() {
            let header: InstanceHeader
            do { header = try InstanceHeader.read(path: source.path) } catch { throw .source(index: index, error) }
            for number in source.frameNumbers ?? Array(1...header.numberOfFrames) {
                defer { place += 1 }
                guard place < masks.count, type == .binary || place < probabilities.count else {
                    throw .inconsistent(reason: "there are more frames than masks")
                }
                guard masks[place].pixels.contains(where: { $0 > 0 }) else { continue }
                let values: [UInt8] =
                    switch type {
                    case .binary: masks[place].pixels.map { $0 > 0 ? 1 : 0 }
                    case .fractional:
                        probabilities[place].map { $0 > 0 ? UInt8(min(max(($0 * 255).rounded(), 0), 255)) : 0 }
                    }
                let isPlaced = frameOfReferenceUID != nil && header.frameOfReferenceUID == frameOfReferenceUID
                meant[Key(uid: header.sopInstanceUID, frameNumber: number)] = Meant(
                    rows: masks[place].rows, values: values, position: isPlaced ? header.plane?.position : nil)
            }
        }
        return meant
    }
}
