// SPDX-License-Identifier: Apache-2.0

import CDCMTK
import Platform

/// A data set that DCMTK encodes.
final class DataSetEncoder {
    /// The reason why a data set could not be encoded or written.
    struct Failure: Error, Hashable {
        var reason: String
    }

    private let handle: OpaquePointer

    /// Takes the elements of a data set.
    ///
    /// - Throws: `Failure` if DCMTK refuses a value or memory is exhausted.
    init(_ item: ItemElements) throws(Failure) {
        guard let handle = cdcmtk_data_set_create() else { throw Failure(reason: "out of memory") }
        self.handle = handle
        guard let root = cdcmtk_data_set_root(handle) else { throw Failure(reason: "out of memory") }
        try Self.put(item, into: root)
    }

    deinit { cdcmtk_data_set_destroy(handle) }

    private static func put(_ item: ItemElements, into target: OpaquePointer) throws(Failure) {
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

    /// Writes a Part 10 file in Explicit VR Little Endian.
    ///
    /// The file is not synced.
    ///
    /// - Parameters:
    ///   - meta: the File Meta Information.
    ///   - path: a file of this name is replaced.
    /// - Throws: `Failure` with the words of the system or of DCMTK.
    func write(_ meta: FileMeta, to path: String) throws(Failure) {
        var sink: Sink
        do { sink = Sink(file: try FileDescriptor(path: path, for: .replacing)) } catch {
            throw Failure(reason: error.reason)
        }
        var status = CDCMTK_OK
        if meta.encoded.withUnsafeBytes({ sink.take($0) }) {
            status = withUnsafeMutablePointer(to: &sink) { context in
                cdcmtk_data_set_write(
                    handle,
                    { context, bytes, length in
                        guard let sink = context?.assumingMemoryBound(to: Sink.self) else { return 1 }
                        return sink.pointee.take(UnsafeRawBufferPointer(start: bytes, count: length)) ? 0 : 1
                    }, context)
            }
        }
        if let problem = sink.problem { throw Failure(reason: problem.reason) }
        guard status == CDCMTK_OK else { throw Failure(reason: String(cString: cdcmtk_last_error()).lowercased()) }
    }

    /// Takes the bytes that DCMTK encodes, and keeps the error of the write that failed.
    private struct Sink {
        let file: FileDescriptor
        var problem: SystemCallError?

        mutating func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
            do throws(SystemCallError) {
                try file.write(bytes)
                return true
            } catch {
                problem = error
                return false
            }
        }
    }
}
