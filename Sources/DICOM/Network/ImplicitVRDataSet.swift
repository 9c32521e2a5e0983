// SPDX-License-Identifier: Apache-2.0
//
// Explicit VR Little Endian to Implicit VR Little Endian (PS3.5 7.1.2, 7.1.3, 7.5, annex A). The values stay as they
// are. Sequences and items get undefined lengths, because their lengths change. Not implemented: encapsulated pixel
// data, and UN of undefined length. Kontur's own objects have neither.

import Platform

/// A data set of a file in Explicit VR Little Endian, read as Implicit VR Little Endian.
///
/// The conversion is one loop with a fixed buffer. It reads objects that Kontur wrote itself.
struct ImplicitVRDataSet {
    private enum Container { case sequence, item }

    private static let undefined: UInt32 = 0xFFFF_FFFF
    private static let item: UInt32 = 0xFFFE_E000
    private static let itemEnd: UInt32 = 0xFFFE_E00D
    private static let sequenceEnd: UInt32 = 0xFFFE_E0DD
    /// Sequences inside sequences, and their items, that are open at once.
    private static let depth = 64
    private static let bufferLength = 64 << 10

    private let file: FileDescriptor
    private let end: Int
    private var offset: Int
    /// The open sequences and items, each with the offset where it ends; `nil` if a delimiter ends it.
    private var open: [(kind: Container, end: Int?)] = []
    private var buffer = [UInt8](repeating: 0, count: bufferLength)
    /// The part of the file that `buffer` holds.
    private var held = 0..<0
    private let sender: DataSetSender

    /// Sends the whole data set, without ending it.
    ///
    /// - Parameters:
    ///   - file: a Part 10 file.
    ///   - start: where its data set begins.
    ///   - end: where it ends.
    ///   - sender: takes the bytes in Implicit VR Little Endian.
    /// - Throws: `unreadableFile` if the bytes are not such a data set, or the error of the association.
    static func send(
        _ file: FileDescriptor, from start: Int, to end: Int, over sender: DataSetSender
    ) throws(AssociationError) {
        var dataSet = ImplicitVRDataSet(file: file, end: end, offset: start, sender: sender)
        try dataSet.run()
    }

    private init(file: FileDescriptor, end: Int, offset: Int, sender: DataSetSender) {
        self.file = file
        self.end = end
        self.offset = offset
        self.sender = sender
    }

    private mutating func run() throws(AssociationError) {
        while true {
            while let last = open.last, last.end == offset {
                try close(last.kind)
            }
            if offset == end { break }
            try readElement()
        }
        guard open.isEmpty else { throw malformed("a sequence is not closed") }
    }

    /// The end of the innermost container whose end is known, or of the data set.
    private var limit: Int { open.last { $0.end != nil }?.end ?? end }

    private mutating func readElement() throws(AssociationError) {
        let head = Array(try bytes(8))
        let tag = UInt32(head[0]) << 16 | UInt32(head[1]) << 24 | UInt32(head[2]) | UInt32(head[3]) << 8
        if tag >> 16 == 0xFFFE { return try readDelimiter(tag, length: Self.uint32(head[4...])) }
        let vr = ValueRepresentation(code: UInt16(head[4]) | UInt16(head[5]) << 8)
        var length = UInt32(head[6]) | UInt32(head[7]) << 8
        var headLength = 8
        if ValueRepresentation.withLongLength.contains(vr) {
            length = Self.uint32(try bytes(12).dropFirst(8))
            headLength = 12
        } else if !ValueRepresentation.withShortLength.contains(vr) {
            throw malformed("a value representation is not known")
        }
        offset += headLength
        if vr == .sequence, length != 0 {
            try begin(.sequence, tag: tag, length: length)
            return
        }
        guard length != Self.undefined else { throw malformed("a value has an undefined length") }
        guard Int(length) <= limit - offset else { throw malformed("a value is longer than its item") }
        // A group length counts the bytes of the explicit form. It is optional (PS3.5 7.2).
        if tag & 0xFFFF == 0 {
            offset += Int(length)
            return
        }
        try emit(tag, length)
        try copy(Int(length))
    }

    private mutating func readDelimiter(_ tag: UInt32, length: UInt32) throws(AssociationError) {
        offset += 8
        switch (tag, open.last?.kind) {
        case (Self.item, .sequence): try begin(.item, tag: tag, length: length)
        case (Self.itemEnd, .item) where open.last?.end == nil: try close(.item)
        case (Self.sequenceEnd, .sequence) where open.last?.end == nil: try close(.sequence)
        default: throw malformed("a delimiter has no beginning")
        }
    }

    private mutating func begin(_ kind: Container, tag: UInt32, length: UInt32) throws(AssociationError) {
        guard open.count < Self.depth else { throw malformed("sequences are nested too deep") }
        var containerEnd: Int?
        if length != Self.undefined {
            guard Int(length) <= limit - offset else { throw malformed("a sequence is longer than its item") }
            containerEnd = offset + Int(length)
        }
        try emit(tag, Self.undefined)
        open.append((kind, containerEnd))
    }

    private mutating func close(_ kind: Container) throws(AssociationError) {
        open.removeLast()
        try emit(kind == .item ? Self.itemEnd : Self.sequenceEnd, 0)
    }

    /// Passes on the tag and the 32-bit length of an element.
    private func emit(_ tag: UInt32, _ length: UInt32) throws(AssociationError) {
        var head = (tag >> 16 | tag << 16).littleEndian.bytes
        head += length.littleEndian.bytes
        try pass(head[...])
    }

    /// Passes on the next bytes of the file.
    private mutating func copy(_ count: Int) throws(AssociationError) {
        var rest = count
        while rest > 0 {
            let part = try bytes(min(rest, Self.bufferLength))
            try pass(part)
            offset += part.count
            rest -= part.count
        }
    }

    private func pass(_ bytes: ArraySlice<UInt8>) throws(AssociationError) {
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(AssociationError) in try sender.append(buffer) }
        }
        try result.get()
    }

    /// The next bytes of the file, which stay the next.
    private mutating func bytes(_ count: Int) throws(AssociationError) -> ArraySlice<UInt8> {
        guard count <= end - offset else { throw malformed("an element is cut off") }
        if !(held.contains(offset) && offset + count <= held.upperBound) {
            let wanted = min(Self.bufferLength, end - offset)
            let (file, offset) = (file, offset)
            let filled = buffer.withUnsafeMutableBytes { buffer in
                Result { () throws(SystemCallError) in
                    try file.fill(UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]), at: offset)
                }
            }
            switch filled {
            case .success(wanted): held = offset..<offset + wanted
            case .success: throw .unreadableFile(reason: "it was cut off")
            case .failure(let error): throw .unreadableFile(reason: error.reason)
            }
        }
        return buffer[offset - held.lowerBound..<offset - held.lowerBound + count]
    }

    private func malformed(_ reason: String) -> AssociationError {
        .unreadableFile(reason: "it cannot be sent in Implicit VR Little Endian: \(reason) before byte \(offset)")
    }

    private static func uint32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}

extension UInt32 {
    /// The bytes of the number as they lie in memory.
    fileprivate var bytes: [UInt8] { withUnsafeBytes(of: self) { Array($0) } }
}
