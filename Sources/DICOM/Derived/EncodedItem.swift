// SPDX-License-Identifier: Apache-2.0
//
// What a derived object is made of before DCMTK encodes it: items as values, and tables of the attributes of a module.

import CDCMTK
import Foundation

/// The value of one element to write.
indirect enum EncodedValue {
    /// Bytes in little endian, for the VR of the attribute.
    case bytes([UInt8])
    case items([EncodedItem])

    /// Present without a value.
    static let empty = EncodedValue.bytes([])

    /// ASCII text; several values are separated by backslashes.
    static func text(_ values: String...) -> EncodedValue { .bytes(Array(values.joined(separator: "\\").utf8)) }

    /// US.
    static func short(_ values: Int...) -> EncodedValue {
        .bytes(
            values.flatMap {
                precondition((0...65_535).contains($0), "US holds 16 bits")
                return [UInt8($0 & 0xFF), UInt8($0 >> 8)]
            })
    }

    /// UL.
    static func long(_ values: Int...) -> EncodedValue {
        .bytes(values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } })
    }

    /// AT: group and element, each in little endian.
    static func tag(of attribute: Attribute) -> EncodedValue {
        let (group, element) = (attribute.tag >> 16, attribute.tag & 0xFFFF)
        return .bytes([group, element].flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
    }
}

/// A data set, or one item of a sequence.
struct EncodedItem {
    var elements: [(attribute: Attribute, value: EncodedValue)] = []

    init(_ elements: [(Attribute, EncodedValue?)] = []) {
        for (attribute, value) in elements where value != nil { self[attribute] = value }
    }

    /// Setting what is there already replaces it: modules share attributes.
    subscript(attribute: Attribute) -> EncodedValue? {
        get { elements.first { $0.attribute == attribute }?.value }
        set {
            elements.removeAll { $0.attribute == attribute }
            if let newValue { elements.append((attribute, newValue)) }
        }
    }
}

/// Type of an attribute in its module: PS3.5 7.4. Conditions of types 1C and 2C are in the source of the row: `nil` when
/// they do not hold.
enum AttributeType {
    /// There, with a value.
    case type1
    case type1C
    /// There, empty where nothing is known.
    case type2
    case type2C
    case type3
}

/// One row of a module's table.
struct ModuleRow<Context> {
    let attribute: Attribute
    let type: AttributeType
    let source: @Sendable (Context) -> EncodedValue?

    init(_ attribute: Attribute, _ type: AttributeType, _ source: @escaping @Sendable (Context) -> EncodedValue?) {
        self.attribute = attribute
        self.type = type
        self.source = source
    }

    func put(_ context: Context, into item: inout EncodedItem) {
        let value = source(context)
        switch type {
        case .type1:
            precondition(value != nil, "\(attribute.keyword) is of type 1")
            item[attribute] = value
        case .type2: item[attribute] = value ?? .empty
        case .type1C, .type2C, .type3: if let value { item[attribute] = value }
        }
    }
}

/// Encodes an item with DCMTK.
final class DataSetEncoder {
    struct Failure: Error, Hashable {
        var reason: String
    }

    private let handle: OpaquePointer

    init(_ item: EncodedItem) throws(Failure) {
        guard let handle = cdcmtk_data_set_create() else { throw Failure(reason: "out of memory") }
        self.handle = handle
        guard let root = cdcmtk_data_set_root(handle) else { throw Failure(reason: "out of memory") }
        try Self.put(item, into: root)
    }

    deinit { cdcmtk_data_set_destroy(handle) }

    private static func put(_ item: EncodedItem, into target: OpaquePointer) throws(Failure) {
        for (attribute, value) in item.elements {
            switch value {
            case .bytes(let bytes):
                try check(
                    cdcmtk_item_put(target, attribute.tag, attribute.vr.letters, bytes, bytes.count), attribute)
            case .items(let items):
                if items.isEmpty { try check(cdcmtk_item_put_sequence(target, attribute.tag), attribute) }
                for child in items {
                    var appended: OpaquePointer?
                    try check(cdcmtk_item_append(target, attribute.tag, &appended), attribute)
                    guard let appended else { throw Failure(reason: "\(attribute.keyword): out of memory") }
                    try put(child, into: appended)
                }
            }
        }
    }

    private static func check(_ status: cdcmtk_status, _ attribute: Attribute) throws(Failure) {
        guard status == CDCMTK_OK else {
            throw Failure(reason: "\(attribute.keyword): \(String(cString: cdcmtk_last_error()).lowercased())")
        }
    }

    /// Writes a Part 10 file in Explicit VR Little Endian, replacing what is at `path`. Nothing is synced.
    func write(_ meta: FileMeta, to path: String) throws(Failure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure(reason: String(cString: strerror(errno))) }
        var sink = Sink(descriptor: descriptor, problem: 0)
        var status = CDCMTK_OK
        if sink.take(meta.encoded) {
            status = withUnsafeMutablePointer(to: &sink) { context in
                cdcmtk_data_set_write(
                    handle,
                    { context, bytes, length in
                        guard let sink = context?.assumingMemoryBound(to: Sink.self) else { return 1 }
                        return sink.pointee.take(UnsafeBufferPointer(start: bytes, count: length)) ? 0 : 1
                    }, context)
            }
        }
        let closed = close(descriptor) == 0 ? 0 : errno
        if sink.problem != 0 { throw Failure(reason: String(cString: strerror(sink.problem))) }
        guard status == CDCMTK_OK else { throw Failure(reason: String(cString: cdcmtk_last_error()).lowercased()) }
        guard closed == 0 else { throw Failure(reason: String(cString: strerror(closed))) }
    }

    private struct Sink {
        let descriptor: Int32
        /// `errno` of the write that failed.
        var problem: Int32

        mutating func take(_ bytes: some Sequence<UInt8>) -> Bool {
            let taken = bytes.withContiguousStorageIfAvailable { buffer -> Bool in
                var rest = UnsafeRawBufferPointer(buffer)
                while !rest.isEmpty {
                    let written = Foundation.write(descriptor, rest.baseAddress, rest.count)
                    if written < 0, errno == EINTR { continue }
                    guard written > 0 else {
                        problem = written == 0 ? ENOSPC : errno
                        return false
                    }
                    rest = UnsafeRawBufferPointer(rebasing: rest[written...])
                }
                return true
            }
            return taken ?? false
        }
    }
}
