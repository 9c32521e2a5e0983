// SPDX-License-Identifier: Apache-2.0
//
// Preamble and File Meta Information of a Part 10 file (PS3.10 7.1): Explicit VR Little Endian, flat, which is all of
// a file that the node itself ever writes or reads. The data set behind it stays as it was received.

import Glibc

/// What the File Meta Information of an instance says.
public struct FileMeta: Sendable, Equatable {
    public var sopClassUID: String
    public var sopInstanceUID: String
    public var transferSyntaxUID: String
    /// Source Application Entity Title: who sent the instance.
    public var sourceAETitle: AETitle?

    public init(sopClassUID: String, sopInstanceUID: String, transferSyntaxUID: String, sourceAETitle: AETitle? = nil) {
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
        self.transferSyntaxUID = transferSyntaxUID
        self.sourceAETitle = sourceAETitle
    }

    /// The bytes before the data set: preamble, prefix, and the meta elements.
    public var encoded: [UInt8] {
        var elements: [UInt8] = []
        // OB: two reserved bytes and a 32-bit length.
        elements += [0x02, 0x00, 0x01, 0x00, 0x4F, 0x42, 0, 0, 2, 0, 0, 0, 0x00, 0x01]
        Self.append(0x0002, "UI", sopClassUID, to: &elements)
        Self.append(0x0003, "UI", sopInstanceUID, to: &elements)
        Self.append(0x0010, "UI", transferSyntaxUID, to: &elements)
        Self.append(0x0012, "UI", Implementation.classUID, to: &elements)
        Self.append(0x0013, "SH", Implementation.versionName, to: &elements)
        if let sourceAETitle { Self.append(0x0016, "AE", sourceAETitle.text, to: &elements) }
        let length = UInt32(elements.count)
        var whole = [UInt8](repeating: 0, count: 128) + Array("DICM".utf8)
        whole +=
            [0x02, 0x00, 0x00, 0x00, 0x55, 0x4C, 4, 0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
        return whole + elements
    }

    private static func append(_ element: UInt8, _ vr: String, _ value: String, to bytes: inout [UInt8]) {
        var value = Array(value.utf8)
        if value.count % 2 == 1 { value.append(vr == "UI" ? 0 : 0x20) }
        precondition(value.count <= 0xFFFF, "a short element holds at most 65,535 bytes")
        bytes += [0x02, 0x00, element, 0x00] + Array(vr.utf8) + [UInt8(value.count & 0xFF), UInt8(value.count >> 8)]
        bytes += value
    }

    /// Reads the meta information of an open file.
    ///
    /// - Returns: with it, where the data set starts, in bytes from the beginning of the file.
    static func read(descriptor: Int32) throws(AssociationError) -> (meta: FileMeta, dataSetOffset: Int) {
        var head = [UInt8](repeating: 0, count: 16 << 10)
        let count = pread(descriptor, &head, head.count, 0)
        guard count >= 0 else { throw .unreadableFile(reason: errorText(errno)) }
        return try parse(head[..<count])
    }

    /// - Parameter head: the first 16 KiB of a file, or all of it.
    package static func parse(_ head: ArraySlice<UInt8>) throws(AssociationError) -> (
        meta: FileMeta, dataSetOffset: Int
    ) {
        guard head.count >= 144, Array(head[128..<132]) == Array("DICM".utf8) else {
            throw .unreadableFile(reason: "it has no File Meta Information")
        }
        var values: [UInt8: ArraySlice<UInt8>] = [:]
        var offset = 132
        while offset + 8 <= head.count, head[offset] == 0x02, head[offset + 1] == 0x00 {
            let long = ["OB", "OW", "UN", "UT", "SQ"].contains(
                String(decoding: head[offset + 4..<offset + 6], as: UTF8.self))
            guard !long || offset + 12 <= head.count else { break }
            let size = long ? head[offset + 8..<offset + 12] : head[offset + 6..<offset + 8]
            let length = size.reversed().reduce(0) { $0 << 8 | Int($1) }
            let start = offset + (long ? 12 : 8)
            guard length <= head.count - start else {
                throw .unreadableFile(reason: "its File Meta Information is cut off or too long")
            }
            if head[offset + 3] == 0 { values[head[offset + 2]] = head[start..<start + length] }
            offset = start + length
        }
        guard let sopClass = values[0x02].flatMap(uid(fromPDU:)), let instance = values[0x03].flatMap(uid(fromPDU:)),
            let syntax = values[0x10].flatMap(uid(fromPDU:))
        else {
            throw .unreadableFile(reason: "its File Meta Information lacks a UID")
        }
        let source = values[0x16].flatMap { AETitle(bytes: Array($0)) }
        let meta = FileMeta(
            sopClassUID: sopClass, sopInstanceUID: instance, transferSyntaxUID: syntax, sourceAETitle: source)
        return (meta, offset)
    }
}
