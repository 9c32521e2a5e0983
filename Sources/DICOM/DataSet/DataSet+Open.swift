// SPDX-License-Identifier: Apache-2.0
//
// Opening a file: PS3.10 section 7 (File Meta Information), and with patience what others leave out of it. Files without
// preamble, without File Meta Information or with the wrong VR encoding are read where only one reading is possible.

import CDCMTK

extension DataSet {
    /// Inflated data sets larger than this are refused.
    static let inflatedLimit = 512 << 20

    /// Opens a file and checks the whole of its data set: nesting, lengths, encoding.
    package static func open(path: String) throws(DataSetError) -> DataSet {
        try read(FileBytes(path: path))
    }

    static func read(_ file: FileBytes) throws(DataSetError) -> DataSet {
        let meta = try FoundFileMeta.read(file.base)
        let declared = meta.transferSyntaxUID
        var bytes = file
        var start = meta.end
        if let declared, isDeflated(declared) {
            bytes = try inflate(file, from: meta.end)
            start = 0
        }
        guard start < bytes.count else {
            throw .truncated(attribute: "the data set", offset: start, missing: 8)
        }
        let encoding = try encoding(of: bytes.base, at: start, declared: declared, hasMeta: meta.isPresent)
        return DataSet(
            bytes: bytes,
            elements: try DataSetScanner.scan(bytes.base, from: start, encoding: encoding),
            transferSyntaxUID: declared ?? transferSyntax(of: encoding).rawValue,
            mediaStorageSOPClassUID: meta.sopClassUID, mediaStorageSOPInstanceUID: meta.sopInstanceUID)
    }

    private static func isDeflated(_ uid: String) -> Bool {
        // Deflated Explicit VR Little Endian and JPIP Referenced Deflate.
        uid == TransferSyntax.deflatedExplicitVRLittleEndian.rawValue || uid == "1.2.840.10008.1.2.4.95"
    }

    private static func inflate(_ file: FileBytes, from start: Int) throws(DataSetError) -> FileBytes {
        let deflated = file[start..<file.count]
        var inflated = cdcmtk_bytes()
        let address = deflated.baseAddress?.assumingMemoryBound(to: UInt8.self)
        switch cdcmtk_inflate(address, deflated.count, inflatedLimit, &inflated) {
        case CDCMTK_OK: break
        case CDCMTK_TOO_LARGE: throw .tooLarge(what: "the inflated data set", limit: inflatedLimit)
        default: throw .invalidEncoding(reason: "the deflated bytes cannot be inflated", offset: start)
        }
        guard let memory = inflated.data else {
            throw .invalidEncoding(reason: "the deflated bytes cannot be inflated", offset: start)
        }
        return FileBytes(owning: memory, count: inflated.length)
    }

    private static func transferSyntax(of encoding: ElementEncoding) -> TransferSyntax {
        guard encoding.isExplicit else { return .implicitVRLittleEndian }
        return encoding.isBigEndian ? .explicitVRBigEndian : .explicitVRLittleEndian
    }

    /// What the first element looks like, which wins over what the file says: some writers name the wrong one.
    private static func encoding(
        of bytes: UnsafeRawBufferPointer, at start: Int, declared: String?, hasMeta: Bool
    ) throws(DataSetError) -> ElementEncoding {
        guard bytes.count - start >= 8 else {
            throw .truncated(attribute: "the data set", offset: start, missing: 8 - (bytes.count - start))
        }
        let group = UInt16(bytes[start]) | UInt16(bytes[start + 1]) << 8
        let vr = ValueRepresentation(code: UInt16(bytes[start + 4]) | UInt16(bytes[start + 5]) << 8)
        let isExplicit =
            ValueRepresentation.withShortLength.contains(vr) || ValueRepresentation.withLongLength.contains(vr)
        let found: ElementEncoding? =
            switch (group, isExplicit) {
            case (0x0008, true): .explicitLittleEndian
            case (0x0008, false): .implicitLittleEndian
            case (0x0800, true): .explicitBigEndian
            default: nil
            }
        if let found { return found }
        switch declared {
        case nil:
            throw .notDICOM(
                found: hasMeta ? "no transfer syntax, and no known first element" : "no DICM prefix and no data set")
        case TransferSyntax.implicitVRLittleEndian.rawValue: return .implicitLittleEndian
        case TransferSyntax.explicitVRBigEndian.rawValue: return .explicitBigEndian
        default: return .explicitLittleEndian
        }
    }
}

/// What is needed of File Meta Information: PS3.10 7.1.
struct FoundFileMeta {
    var transferSyntaxUID: String?
    var sopClassUID: String?
    var sopInstanceUID: String?
    /// There is a DICM prefix, or group 0002.
    var isPresent = false
    /// Where the data set begins.
    var end = 0

    /// Reads group 0002, always Explicit VR Little Endian. Its group length is often wrong and not needed.
    static func read(_ bytes: UnsafeRawBufferPointer) throws(DataSetError) -> FoundFileMeta {
        var meta = FoundFileMeta()
        if bytes.count >= 132, bytes[128..<132].elementsEqual("DICM".utf8) {
            meta.isPresent = true
            meta.end = 132
        } else if bytes.count < 8 {
            throw .notDICOM(found: "only \(bytes.count) bytes")
        } else {
            meta.isPresent = bytes[0] == 2 && bytes[1] == 0
        }
        while meta.isPresent, bytes.count - meta.end >= 8, bytes[meta.end] == 2, bytes[meta.end + 1] == 0 {
            try meta.readElement(bytes)
        }
        return meta
    }

    private mutating func readElement(_ bytes: UnsafeRawBufferPointer) throws(DataSetError) {
        let tag = 0x0002_0000 | UInt32(bytes[end + 2]) | UInt32(bytes[end + 3]) << 8
        let vr = ValueRepresentation(code: UInt16(bytes[end + 4]) | UInt16(bytes[end + 5]) << 8)
        var value = end + 8
        var length = UInt32(bytes[end + 6]) | UInt32(bytes[end + 7]) << 8
        if ValueRepresentation.withLongLength.contains(vr) {
            guard bytes.count - end >= 12 else {
                throw .truncated(attribute: Attribute.name(of: tag), offset: end, missing: 12 - (bytes.count - end))
            }
            length = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: end + 8, as: UInt32.self))
            value = end + 12
        } else if !ValueRepresentation.withShortLength.contains(vr) {
            throw .invalidEncoding(reason: "File Meta Information is not in Explicit VR Little Endian", offset: end)
        }
        guard length != 0xFFFF_FFFF else {
            throw .invalidLength(attribute: Attribute.name(of: tag), offset: end, length: length)
        }
        guard Int(length) <= bytes.count - value else {
            throw .truncated(
                attribute: Attribute.name(of: tag), offset: end, missing: Int(length) - (bytes.count - value))
        }
        if length > 0, length <= 66 {
            let text = DataSet.trimmed(bytes[value..<value + Int(length)])
            switch tag {
            case Attribute.transferSyntaxUID.tag: transferSyntaxUID = text
            case Attribute.mediaStorageSOPClassUID.tag: sopClassUID = text
            case Attribute.mediaStorageSOPInstanceUID.tag: sopInstanceUID = text
            default: break
            }
        }
        end = value + Int(length)
    }
}
