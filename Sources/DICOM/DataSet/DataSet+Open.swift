// SPDX-License-Identifier: Apache-2.0
//
// Opening a file: PS3.10 section 7. A file may lack the preamble or the File Meta Information, or have another encoding
// than it declares. Kontur reads such a file if only one interpretation is possible.

import CDCMTK

extension DataSet {
    /// The size in bytes above which an inflated data set is refused.
    package static let inflatedLimit = 512 << 20

    /// Opens a file and checks nesting, lengths and encoding of its whole data set.
    ///
    /// - Parameters:
    ///   - path: a Part 10 file, or a data set without File Meta Information.
    ///   - inflatedLimit: the size in bytes above which an inflated data set is refused. Inflating stops there.
    /// - Returns: the data set, checked as a whole.
    /// - Throws: `DataSetError`.
    package static func open(
        path: String, inflatedLimit: Int = DataSet.inflatedLimit
    ) throws(DataSetError) -> DataSet {
        try read(FileBytes(path: path), inflatedLimit: inflatedLimit)
    }

    static func read(_ file: FileBytes, inflatedLimit: Int = DataSet.inflatedLimit) throws(DataSetError) -> DataSet {
        let meta = try FoundFileMeta(file.base)
        let declared = meta.transferSyntaxUID
        var bytes = file
        var start = meta.end
        if let declared, TransferSyntax.isDeflated(declared) {
            bytes = try inflate(file, from: meta.end, limit: min(max(inflatedLimit, 1), Self.inflatedLimit))
            start = 0
        }
        guard start < bytes.count else {
            throw .truncated(attribute: "the data set", offset: start, missing: 8)
        }
        start = endOfCommandGroups(of: bytes.base, at: start, declared: declared)
        let encoding = try encoding(of: bytes.base, at: start, declared: declared, hasMeta: meta.isPresent)
        return DataSet(
            bytes: bytes,
            elements: try DataSetScanner.scan(bytes.base, from: start, encoding: encoding), meta: meta,
            transferSyntaxUID: declared ?? transferSyntax(of: encoding).rawValue)
    }

    private static func inflate(
        _ file: FileBytes, from start: Int, limit: Int
    ) throws(DataSetError) -> FileBytes {
        let deflated = file[start..<file.count]
        var inflated = cdcmtk_bytes()
        let address = deflated.baseAddress?.assumingMemoryBound(to: UInt8.self)
        switch cdcmtk_inflate(address, deflated.count, limit, &inflated) {
        case CDCMTK_OK: break
        case CDCMTK_TOO_LARGE: throw .tooLarge(what: "the inflated data set", limit: limit)
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

    /// The offset of the first element that belongs to a data set.
    ///
    /// Some senders leave elements of a command (group 0000) or of an older File Meta Information (group 0002) at the
    /// beginning of the data set, each in an encoding of its own.
    private static func endOfCommandGroups(
        of bytes: UnsafeRawBufferPointer, at start: Int, declared: String?
    ) -> Int {
        let isBigEndian = declared == TransferSyntax.explicitVRBigEndian.rawValue
        var headers = ElementHeaderReader(bytes)
        var position = start
        while bytes.count - position >= 8, !headers.areZeros(from: position, limit: bytes.count) {
            // Group 0000 has the same bytes in both orders; its lengths are below 256.
            let isOther =
                isBigEndian && bytes[position] == 0
                && (bytes[position + 1] == 2
                    || bytes[position + 1] == 0 && bytes[position + 6] == 0 && bytes[position + 7] != 0)
            let encoding: ElementEncoding = isOther ? .explicitBigEndian : .explicitLittleEndian
            guard [0, 2].contains(headers.tag(at: position, encoding) >> 16) else { break }
            guard let end = headers.endOfElement(at: position, encoding) else { break }
            position = end
        }
        return position
    }

    /// Whether a first element of unknown representation can be explicit, as its transfer syntax says.
    private static func mayBeExplicit(_ bytes: UnsafeRawBufferPointer, at start: Int, _ declared: String?) -> Bool {
        guard let declared, declared != TransferSyntax.implicitVRLittleEndian.rawValue else { return false }
        var headers = ElementHeaderReader(bytes)
        guard headers.goesOn(at: start, .explicitLittleEndian) else { return false }
        // A first element in implicit encoding is shorter than these bytes would say.
        return bytes[start + 5] >= 0x20 || !headers.goesOn(at: start, .implicitLittleEndian)
    }

    /// The encoding of the first element, which overrides the declared encoding, because some writers declare a wrong
    /// one.
    private static func encoding(
        of bytes: UnsafeRawBufferPointer, at start: Int, declared: String?, hasMeta: Bool
    ) throws(DataSetError) -> ElementEncoding {
        guard bytes.count - start >= 8 else {
            throw .truncated(attribute: "the data set", offset: start, missing: 8 - (bytes.count - start))
        }
        let group = UInt16(bytes[start]) | UInt16(bytes[start + 1]) << 8
        let vr = ValueRepresentation(code: UInt16(bytes[start + 4]) | UInt16(bytes[start + 5]) << 8)
        let isExplicit = vr.isKnown
        let found: ElementEncoding? =
            switch (group, isExplicit) {
            case (0x0008, true): .explicitLittleEndian
            case (0x0008, false) where !mayBeExplicit(bytes, at: start, declared): .implicitLittleEndian
            case (0x0800, true): .explicitBigEndian
            default: nil
            }
        if let found { return found }
        switch declared {
        case nil where hasMeta:
            let encoding: ElementEncoding = isExplicit ? .explicitLittleEndian : .implicitLittleEndian
            var headers = ElementHeaderReader(bytes)
            guard headers.endOfElement(at: start, encoding) != nil else {
                throw .notDICOM(found: "no transfer syntax, and no known first element")
            }
            return encoding
        case nil: throw .notDICOM(found: "no DICM prefix and no data set")
        case TransferSyntax.implicitVRLittleEndian.rawValue: return .implicitLittleEndian
        case TransferSyntax.explicitVRBigEndian.rawValue: return .explicitBigEndian
        default: return .explicitLittleEndian
        }
    }
}
