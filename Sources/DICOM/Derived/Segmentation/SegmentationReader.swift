// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// A SEG read from its file, by code that is independent of the packer.
///
/// The reader computes the bit address of each pixel in the bytes that the flat scanner found.
public struct SegmentationReader: Sendable {
    /// One frame of a SEG.
    public struct Frame: Sendable {
        /// Referenced Segment Number.
        public let segmentNumber: Int
        /// The instance that Derivation Image names.
        public let sourceInstanceUID: String
        /// The frame of that instance, counted from 1; `nil` if Derivation Image does not name one.
        public let sourceFrameNumber: Int?
        /// Image Position (Patient), mm; `nil` if absent.
        public let position: Vector3?
        /// `[rows, columns]`: 0 and 1, or 0...Maximum Fractional Value.
        public let values: [UInt8]
        /// The confidence that Frame Comments states; `nil` if it does not state one.
        public let confidence: Confidence?
    }

    /// SOP Instance UID.
    public let sopInstanceUID: String
    /// Series Instance UID.
    public let seriesInstanceUID: String
    /// Frame of Reference UID; `nil` if absent.
    public let frameOfReferenceUID: String?
    /// The encoding of the masks, by Segmentation Type.
    public let encoding: SegmentationEncoding
    /// Rows of each frame.
    public let rows: Int
    /// Columns of each frame.
    public let columns: Int
    /// The confidence of the whole answer that Segment Description states; `nil` if it does not state one.
    public let confidence: Confidence?
    /// The frames in the order of the file; of a label map one for each segment of a frame.
    public let frames: [Frame]
    /// Pixel Spacing of the Pixel Measures macro: between rows, between columns, mm; empty if absent.
    public let pixelSpacing: [Double]
    /// Slice Thickness of the Pixel Measures macro, mm; `nil` if absent.
    public let sliceThickness: Double?
    /// Spacing Between Slices of the Pixel Measures macro, mm; `nil` if absent.
    public let spacingBetweenSlices: Double?
    /// Image Orientation (Patient) of the Plane Orientation macro; empty if absent.
    public let orientation: [Double]

    /// Whether the frames hold masks or probabilities.
    public var type: SegmentationType { encoding == .fractional ? .fractional : .binary }

    /// Reads a SEG or label map.
    ///
    /// - Throws: `ObjectError.cannotRead`, or `.mismatch` if the file is not a SEG of a known form.
    public init(path: String) throws(ObjectError) {
        let data: DataSet
        let header: InstanceHeader
        do {
            let file = try InstanceFile(path: path)
            (data, header) = (try file.dataSet(), file.header)
        } catch { throw .cannotRead(error) }
        guard [SOPClass.segmentation, SOPClass.labelMapSegmentation].contains(header.sopClassUID) else {
            throw .mismatch(reason: "it is not a SEG")
        }
        guard let encoding = data.string(.segmentationType).flatMap(SegmentationEncoding.init),
            encoding.sopClassUID == header.sopClassUID
        else { throw .mismatch(reason: "its Segmentation Type is not known, or does not fit its SOP class") }
        self.encoding = encoding
        sopInstanceUID = header.sopInstanceUID
        seriesInstanceUID = header.seriesInstanceUID
        frameOfReferenceUID = header.frameOfReferenceUID
        rows = header.rows
        columns = header.columns
        // The background of a label map does not have a description.
        confidence = data.items(.segmentSequence).compactMap { data.string(.segmentDescription, in: $0) }.first
            .flatMap(ConfidenceText.read)
        frames = try Self.frames(of: data, header, encoding)
        let shared = data.items(.sharedFunctionalGroupsSequence).first
        let measures = shared.flatMap { data.items(.pixelMeasuresSequence, in: $0).first }
        pixelSpacing = measures.map { data.doubles(.pixelSpacing, in: $0) } ?? []
        sliceThickness = measures.flatMap { data.double(.sliceThickness, in: $0) }
        spacingBetweenSlices = measures.flatMap { data.double(.spacingBetweenSlices, in: $0) }
        let plane = shared.flatMap { data.items(.planeOrientationSequence, in: $0).first }
        orientation = plane.map { data.doubles(.imageOrientationPatient, in: $0) } ?? []
    }

    private static func frames(
        of data: DataSet, _ header: InstanceHeader, _ encoding: SegmentationEncoding
    ) throws(ObjectError) -> [Frame] {
        let groups = data.items(.perFrameFunctionalGroupsSequence)
        guard groups.count == header.numberOfFrames else {
            throw .mismatch(reason: "it has \(header.numberOfFrames) frames and \(groups.count) functional groups")
        }
        guard header.bitsAllocated == encoding.bits, let element = data.element(.pixelData),
            data.fragments() == nil
        else { throw .mismatch(reason: "its pixels do not have the encoding of a SEG") }
        let count = header.rows * header.columns
        guard element.length >= (count * header.bitsAllocated * groups.count + 7) / 8 else {
            throw .mismatch(reason: "it has \(element.length) bytes of pixels for \(groups.count) frames")
        }
        let pixels = data.bytes[element.range]
        var frames: [Frame] = []
        for (index, group) in groups.enumerated() {
            switch encoding {
            case .binary:
                let values = bits(pixels, from: index * count, count: count)
                frames.append(try frame(group, of: data, values: values))
            case .fractional:
                let values = Array(pixels[index * count..<(index + 1) * count])
                frames.append(try frame(group, of: data, values: values))
            case .labelMap:
                let labels = pixels[index * count..<(index + 1) * count]
                let background = data.integer(.pixelPaddingValue) ?? 0
                for segment in Set(labels).sorted() where Int(segment) != background {
                    let mask: [UInt8] = labels.map { $0 == segment ? 1 : 0 }
                    frames.append(try frame(group, of: data, segment: Int(segment), values: mask))
                }
            }
        }
        return frames
    }

    /// The pixels from address `n`, counted through all frames: each is bit `n mod 8` of byte `n / 8` (PS3.5 8.1.1).
    private static func bits(_ bytes: UnsafeRawBufferPointer, from address: Int, count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { pixels, filled in
            filled = count
            var pixel = 0
            func takeBit() {
                let place = address + pixel
                pixels[pixel] = bytes[place / 8] >> UInt8(place % 8) & 1
                pixel += 1
            }
            while (address + pixel) % 8 != 0, pixel < count { takeBit() }
            spread.withUnsafeBufferPointer { spread in
                while pixel + 8 <= count {
                    let eight = spread[Int(bytes[(address + pixel) / 8])]
                    UnsafeMutableRawBufferPointer(pixels).storeBytes(of: eight, toByteOffset: pixel, as: UInt64.self)
                    pixel += 8
                }
            }
            while pixel < count { takeBit() }
        }
    }

    /// The eight bits of each byte, as the bytes of a number in the order of memory.
    private static let spread: [UInt64] = (0..<256).map { (byte: UInt64) in
        var bits: UInt64 = 0
        for bit in UInt64(0)..<8 { bits |= (byte >> bit & 1) << (8 * bit) }
        return UInt64(littleEndian: bits)
    }

    /// A frame of the segment that is given, or else of the one that the functional groups name.
    private static func frame(
        _ group: DataSet.Item, of data: DataSet, segment: Int? = nil, values: [UInt8]
    ) throws(ObjectError) -> Frame {
        func first(_ path: Attribute..., from start: DataSet.Item) -> DataSet.Item? {
            path.reduce(Optional(start)) { item, attribute in
                item.flatMap { data.items(attribute, in: $0).first }
            }
        }
        // A macro that is the same for all frames may be in the shared groups: PS3.3 C.7.6.16.
        let shared = data.items(.sharedFunctionalGroupsSequence).first
        let identification =
            first(.segmentIdentificationSequence, from: group)
            ?? shared.flatMap { first(.segmentIdentificationSequence, from: $0) }
        guard
            let number = segment ?? identification.flatMap({ data.integer(.referencedSegmentNumber, in: $0) }),
            let source = first(.derivationImageSequence, .sourceImageSequence, from: group),
            let uid = data.string(.referencedSOPInstanceUID, in: source)
        else { throw .mismatch(reason: "a frame does not name its segment or its source") }
        let position = first(.planePositionSequence, from: group)
            .flatMap { Vector3(data.doubles(.imagePositionPatient, in: $0)) }
        let comments = first(.frameContentSequence, from: group).flatMap { data.string(.frameComments, in: $0) }
        return Frame(
            segmentNumber: number, sourceInstanceUID: uid,
            sourceFrameNumber: data.integer(.referencedFrameNumber, in: source), position: position, values: values,
            confidence: comments.flatMap(ConfidenceText.read))
    }
}

extension SegmentationReader {
    /// The largest change of a position, in mm, that writing it as a Decimal String may cause.
    private static let positionTolerance = 1e-4

    /// Reads a written SEG back and compares it with the intended content: pixels, sources, frame numbers, positions,
    /// pixel measures and orientation.
    ///
    /// - Parameters:
    ///   - path: the written file, which is read anew.
    ///   - encoding: the intended encoding.
    ///   - sources: the sources that were given to `SegmentationInstance.write`. The other parameters were given to it
    ///     too.
    ///   - masks: one for each frame of the sources.
    ///   - probabilities: of the same shape; needed only for `.fractional`.
    /// - Throws: `ObjectError.mismatch` with the first difference.
    public static func verify(
        path: String, encoding: SegmentationEncoding, sources: [SegmentationSource], masks: [Mask],
        probabilities: [[Float]] = []
    ) throws(ObjectError) {
        let read = try SegmentationReader(path: path)
        guard read.encoding == encoding else { throw .mismatch(reason: "it is of another Segmentation Type") }
        var meant = try meantFrames(sources, masks, probabilities, read.type, placedIn: read.frameOfReferenceUID)
        try read.checkMeasures(of: sources.segmented)
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
                    throw .mismatch(reason: "frame \(index + 1) has another position")
                }
            }
        }
    }

    /// The largest relative change of a pixel spacing that writing it as a Decimal String may cause.
    private static let spacingTolerance = 1e-6
    /// The largest change of a direction that making the directions of a source perpendicular may cause.
    private static let directionTolerance = 1e-3

    /// Compares pixel measures and orientation with the sources, if the SEG is in their frame of reference.
    private func checkMeasures(of sources: [SegmentationSource]) throws(ObjectError) {
        guard let uid = frameOfReferenceUID else { return }
        var planes: [PlaneGeometry] = []
        for source in sources where source.file.header.frameOfReferenceUID == uid {
            let header = source.file.header
            let numbers = source.frameNumbers ?? Array(1...header.numberOfFrames)
            planes += numbers.compactMap { header.plane(ofFrame: $0) }
        }
        guard let first = planes.first, let source = sources.first else { return }
        guard pixelSpacing.count == 2,
            zip(pixelSpacing, [first.rowSpacing, first.columnSpacing])
                .allSatisfy({ abs($0 - $1) <= Self.spacingTolerance * $1 })
        else { throw .mismatch(reason: "it has another Pixel Spacing than its sources") }
        guard orientation.count == 6, let row = Vector3(orientation[..<3]), let column = Vector3(orientation[3...]),
            (row - first.rowDirection).length <= Self.directionTolerance,
            (column - first.columnDirection).length <= Self.directionTolerance, abs(row.dot(column)) <= 1e-4
        else { throw .mismatch(reason: "it has another orientation than its sources") }
        let frame = source.file.header.header(ofFrame: source.frameNumbers?.first ?? 1)
        if let thickness = frame.sliceThickness {
            guard let sliceThickness, abs(sliceThickness - thickness) <= Self.spacingTolerance * thickness else {
                throw .mismatch(reason: "it has another Slice Thickness than its sources")
            }
        }
        let along = planes.map { ($0.position - first.position).dot(first.normal) }.sorted()
        let steps = zip(along, along.dropFirst()).map { $1 - $0 }.filter { $0 > 0.01 }
        guard let smallest = steps.min(), let largest = steps.max() else { return }
        guard let spacing = spacingBetweenSlices, spacing >= smallest - 1e-3, spacing <= largest + 1e-3 else {
            throw .mismatch(reason: "its Spacing Between Slices is not the distance of its sources")
        }
    }

    /// A frame of a source.
    private struct Key: Hashable {
        let uid: String
        let frameNumber: Int
    }

    /// The frame of the SEG that a frame of a source should give.
    private struct Meant {
        let rows: Int
        let values: [UInt8]
        /// `nil` if the SEG is not in the frame of reference of its source.
        let position: Vector3?
    }

    private static func meantFrames(
        _ sources: [SegmentationSource], _ masks: [Mask], _ probabilities: [[Float]], _ type: SegmentationType,
        placedIn frameOfReferenceUID: String?
    ) throws(ObjectError) -> [Key: Meant] {
        var meant: [Key: Meant] = [:]
        var place = 0
        for source in sources {
            let header = source.file.header
            for number in source.frameNumbers ?? Array(1...header.numberOfFrames) {
                defer { place += 1 }
                guard place < masks.count, type == .binary || place < probabilities.count else {
                    throw .inconsistent(reason: "there are more frames than masks")
                }
                guard !masks[place].isEmpty else { continue }
                let values: [UInt8] =
                    switch type {
                    case .binary: masks[place].pixels
                    case .fractional:
                        probabilities[place].map { $0 > 0 ? UInt8(min(max(($0 * 255).rounded(), 0), 255)) : 0 }
                    }
                let isPlaced = frameOfReferenceUID != nil && header.frameOfReferenceUID == frameOfReferenceUID
                meant[Key(uid: header.sopInstanceUID, frameNumber: number)] = Meant(
                    rows: masks[place].rows, values: values,
                    position: isPlaced ? header.plane(ofFrame: number)?.position : nil)
            }
        }
        return meant
    }
}
