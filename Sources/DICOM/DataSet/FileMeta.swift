// SPDX-License-Identifier: Apache-2.0
//
// Preamble and File Meta Information of a Part 10 file: PS3.10 7.1. Group 0002 is always in Explicit VR Little Endian
// and flat. Its group length is often wrong, and counts only for files that Kontur wrote. An element counts where it
// occurs first, so that an old group 0002 at the beginning of a data set does not hide that of the file.

/// The File Meta Information of an instance that Kontur stores, sends or writes.
public struct FileMeta: Sendable, Equatable {
    /// Media Storage SOP Class UID.
    public var sopClassUID: String
    /// Media Storage SOP Instance UID.
    public var sopInstanceUID: String
    /// Transfer Syntax UID of the data set.
    public var transferSyntaxUID: String
    /// Source Application Entity Title: the peer that sent the instance.
    public var sourceAETitle: AETitle?

    /// Takes the values as they are; UIDs are not checked.
    public init(sopClassUID: String, sopInstanceUID: String, transferSyntaxUID: String, sourceAETitle: AETitle? = nil) {
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
        self.transferSyntaxUID = transferSyntaxUID
        self.sourceAETitle = sourceAETitle
    }

    /// The bytes before the data set: preamble, prefix and group 0002.
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

    /// Reads the File Meta Information of a file that will be sent as it is.
    ///
    /// - Parameter head: the beginning of the file: all of group 0002.
    /// - Returns: the values, and where the data set begins, in bytes from the beginning of the file.
    /// - Throws: `DataSetError` if there is no File Meta Information, if it is cut off or malformed, or if one of its
    ///   UIDs is missing or not valid.
    package static func read(
        _ head: UnsafeRawBufferPointer
    ) throws(DataSetError) -> (meta: FileMeta, dataSetOffset: Int) {
        let found = try FoundFileMeta(head)
        guard found.isPresent else { throw .notDICOM(found: "no File Meta Information") }
        let meta = FileMeta(
            sopClassUID: try valid(found.sopClassUID, .mediaStorageSOPClassUID),
            sopInstanceUID: try valid(found.sopInstanceUID, .mediaStorageSOPInstanceUID),
            transferSyntaxUID: try valid(found.transferSyntaxUID, .transferSyntaxUID),
            sourceAETitle: found.sourceAETitle.flatMap { AETitle($0) })
        return (meta, found.declaredEnd ?? found.end)
    }

    private static func valid(_ text: String?, _ attribute: Attribute) throws(DataSetError) -> String {
        guard let text else { throw .missing(attribute: attribute.keyword) }
        guard let uid = UID(text) else { throw .notUID(attribute) }
        return uid.text
    }
}

/// The values of group 0002 that a file holds, without padding and not checked; `nil` for an absent or empty one.
struct FoundFileMeta {
    var transferSyntaxUID: String?
    var sopClassUID: String?
    var sopInstanceUID: String?
    var sourceAETitle: String?
    /// Whether the file has the DICM prefix, or begins with group 0002.
    var isPresent = false
    /// Offset of the data set: the first element of another group.
    var end = 0
    /// The offset of the data set by the group length, if an element ends there; `nil` if the length is wrong.
    ///
    /// It differs from `end` if the data set begins with elements of group 0002 too.
    private(set) var declaredEnd: Int?

    /// Reads group 0002 of a file, which may lack the preamble or the whole group.
    ///
    /// - Parameter bytes: the file, or its beginning.
    /// - Throws: `DataSetError` if the bytes are too few for any data set, or if group 0002 is malformed.
    init(_ bytes: UnsafeRawBufferPointer) throws(DataSetError) {
        // Without a preamble, the four letters may be part of a value.
        if bytes.count >= 132, bytes[128..<132].elementsEqual("DICM".utf8), !Self.beginsWithoutPreamble(bytes) {
            isPresent = true
            end = 132
        } else if bytes.count < 8 {
            throw .notDICOM(found: "only \(bytes.count) bytes")
        } else {
            isPresent = bytes[0] == 2 && bytes[1] == 0
        }
        var headers = ElementHeaderReader(bytes)
        var groupEnd: Int?
        while isPresent, bytes.count - end >= 8, bytes[end] == 2, bytes[end + 1] == 0 {
            try readElement(&headers, groupEnd: &groupEnd)
            if end == groupEnd { declaredEnd = end }
        }
    }

    /// Whether group 0002 or 0008 begins at the first byte, and group 0002 does not begin after the prefix.
    private static func beginsWithoutPreamble(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let hasGroup = bytes.count >= 134 && bytes[132] == 2 && bytes[133] == 0
        return !hasGroup && (bytes[0] == 2 || bytes[0] == 8) && bytes[1] == 0
    }

    private mutating func readElement(
        _ headers: inout ElementHeaderReader, groupEnd: inout Int?
    ) throws(DataSetError) {
        let bytes = headers.bytes
        let header = try headers.header(at: end, limit: bytes.count, .explicitLittleEndian)
        guard !header.isUndefined else {
            throw .invalidLength(attribute: Attribute.name(of: header.tag), offset: end, length: header.length)
        }
        let (value, length) = (header.value, Int(header.length))
        guard length <= bytes.count - value else {
            throw .truncated(
                attribute: Attribute.name(of: header.tag), offset: end, missing: length - (bytes.count - value))
        }
        if header.tag == 0x0002_0000, length == 4, groupEnd == nil {
            groupEnd =
                value + 4 + Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: value, as: UInt32.self)))
        }
        if length > 0, length <= 66 {
            let text = DataSet.trimmed(bytes[value..<value + length])
            switch header.tag {
            case Attribute.transferSyntaxUID.tag: transferSyntaxUID = transferSyntaxUID ?? text
            case Attribute.mediaStorageSOPClassUID.tag: sopClassUID = sopClassUID ?? text
            case Attribute.mediaStorageSOPInstanceUID.tag: sopInstanceUID = sopInstanceUID ?? text
            case Attribute.sourceApplicationEntityTitle.tag: sourceAETitle = sourceAETitle ?? text
            default: break
            }
        }
        end = value + length
    }
}
