// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// Reads a SEG back, by code that shares nothing with the packer: pixels come from where the flat reader found them, by
/// bit addresses.
public struct SegmentationReader: Sendable {
    /// One frame of a SEG.
    public struct Frame: Sendable {
        public let segmentNumber: Int
        /// Instance and frame (from 1) that Derivation Image names; the frame is `nil` where none is named.
        public let sourceInstanceUID: String
        public let sourceFrameNumber: Int?
        /// Image Position (Patient), mm.
        public let position: Vector3?
        /// `[rows, columns]`: 0 and 1, or 0...Maximum Fractional Value.
        public let values: [UInt8]
    }

    public let sopInstanceUID: String
    public let seriesInstanceUID: String
    public let frameOfReferenceUID: String?
    public let type: SegmentationType
    public let rows: Int
    public let columns: Int
    public let frames: [Frame]

    /// - Throws: `SegmentationError.cannotRead`, or `.mismatch` for a file that is no SEG of a form that is known.
    public init(path: String) throws(SegmentationError) {
        let data: DataSet
        let header: InstanceHeader
        do {
            data = try DataSet.open(path: path)
            header = try InstanceHeader(data)
        } catch { throw .cannotRead(error) }
        guard header.sopClassUID == "1.2.840.10008.5.1.4.1.1.66.4" else { throw .mismatch(reason: "it is not a SEG") }
        switch data.string(.segmentationType) {
        case "BINARY": type = .binary
        case "FRACTIONAL": type = .fractional
        default: throw .mismatch(reason: "its Segmentation Type is not known")
        }
        sopInstanceUID = header.sopInstanceUID
        seriesInstanceUID = header.seriesInstanceUID
        frameOfReferenceUID = header.frameOfReferenceUID
        rows = header.rows
        columns = header.columns
        frames = try Self.frames(of: data, header, type)
    }

    private static func frames(
        of data: DataSet, _ header: InstanceHeader, _ type: SegmentationType
    ) throws(SegmentationError) -> [Frame] {
        let groups = data.items(.perFrameFunctionalGroupsSequence)
        guard groups.count == header.numberOfFrames else {
            throw .mismatch(reason: "it has \(header.numberOfFrames) frames and \(groups.count) functional groups")
        }
        guard header.bitsAllocated == (type == .binary ? 1 : 8), let element = data.element(.pixelData),
            data.fragments() == nil
        else { throw .mismatch(reason: "its pixels are not encoded as a SEG's") }
        let count = header.rows * header.columns
        guard element.length >= (count * header.bitsAllocated * groups.count + 7) / 8 else {
            throw .mismatch(reason: "it has \(element.length) bytes of pixels for \(groups.count) frames")
        }
        let pixels = data.bytes[element.range]
        var frames: [Frame] = []
        for (index, group) in groups.enumerated() {
            let values =
                type == .binary
                ? bits(pixels, from: index * count, count: count) : Array(pixels[index * count..<(index + 1) * count])
            frames.append(try frame(group, of: data, values: values))
        }
        return frames
    }

    /// The bit of a pixel with address `n`, counted through all frames, is bit `n mod 8` of byte `n / 8`: PS3.5 8.1.1.
    private static func bits(_ bytes: UnsafeRawBufferPointer, from address: Int, count: Int) -> [UInt8] {
        (address..<address + count).map { bytes[$0 / 8] >> UInt8($0 % 8) & 1 }
    }

    private static func frame(
        _ group: DataSet.Item, of data: DataSet, values: [UInt8]
    ) throws(SegmentationError) -> Frame {
        func first(_ path: Attribute..., from start: DataSet.Item) -> DataSet.Item? {
            path.reduce(Optional(start)) { item, attribute in
                item.flatMap { data.items(attribute, in: $0).first }
            }
        }
        // What all frames have in common may stand in the shared groups: PS3.3 C.7.6.16.
        let shared = data.items(.sharedFunctionalGroupsSequence).first
        guard
            let segment = first(.segmentIdentificationSequence, from: group)
                ?? shared.flatMap({ first(.segmentIdentificationSequence, from: $0) }),
            let number = data.integer(.referencedSegmentNumber, in: segment),
            let source = first(.derivationImageSequence, .sourceImageSequence, from: group),
            let uid = data.string(.referencedSOPInstanceUID, in: source)
        else { throw .mismatch(reason: "a frame names no segment or no source") }
        let position = first(.planePositionSequence, from: group)
            .flatMap { Vector3(data.doubles(.imagePositionPatient, in: $0)) }
        return Frame(
            segmentNumber: number, sourceInstanceUID: uid,
            sourceFrameNumber: data.integer(.referencedFrameNumber, in: source), position: position, values: values)
    }
}
