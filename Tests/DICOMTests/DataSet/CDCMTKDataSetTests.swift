// SPDX-License-Identifier: Apache-2.0

import CDCMTK
import Testing

/// The C room alone: it links, and does what its header says.
@Suite struct CDCMTKDataSetTests {
    @Test func `puts, gets, iterates and encodes`() throws {
        let dataSet = try #require(cdcmtk_data_set_create())
        defer { cdcmtk_data_set_destroy(dataSet) }
        let root = try #require(cdcmtk_data_set_root(dataSet))
        let modality = Array("SEG".utf8)
        #expect(cdcmtk_item_put(root, 0x0008_0060, "CS", modality, modality.count) == CDCMTK_OK)
        #expect(cdcmtk_item_put(root, 0x0028_0010, "US", [0x2C, 0x01], 2) == CDCMTK_OK)
        var item: OpaquePointer?
        #expect(cdcmtk_item_append(root, 0x0008_1115, &item) == CDCMTK_OK)
        #expect(cdcmtk_item_put(item, 0x0020_000E, "UI", Array("1.2.3".utf8), 5) == CDCMTK_OK)

        var value: UnsafePointer<UInt8>?
        var length = 0
        #expect(cdcmtk_item_get(root, 0x0028_0010, &value, &length) == CDCMTK_OK)
        #expect(Array(UnsafeBufferPointer(start: value, count: length)) == [0x2C, 0x01])
        #expect(cdcmtk_item_get(root, 0x0010_0010, &value, &length) == CDCMTK_NOT_FOUND)
        var child: OpaquePointer?
        #expect(cdcmtk_item_child(root, 0x0008_1115, 0, &child) == CDCMTK_OK)
        #expect(child == item)
        #expect(cdcmtk_item_child(root, 0x0008_1115, 1, &child) == CDCMTK_END)

        var tags: [UInt32] = []
        var tag: UInt32 = 0
        var vr = [CChar](repeating: 0, count: 3)
        while cdcmtk_item_element(root, tags.count, &tag, &vr) == CDCMTK_OK { tags.append(tag) }
        #expect(tags == [0x0008_0060, 0x0008_1115, 0x0028_0010])

        var encoded: [UInt8] = []
        let status = withUnsafeMutablePointer(to: &encoded) { context in
            cdcmtk_data_set_write(
                dataSet,
                { context, bytes, count in
                    context?.assumingMemoryBound(to: [UInt8].self).pointee
                        .append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
                    return 0
                }, context)
        }
        #expect(status == CDCMTK_OK)
        #expect(encoded.prefix(12) == [0x08, 0, 0x60, 0, 0x43, 0x53, 4, 0, 0x53, 0x45, 0x47, 0x20])
        #expect(encoded.suffix(2) == [0x2C, 0x01])
    }

    @Test func `stops when the sink does`() throws {
        let dataSet = try #require(cdcmtk_data_set_create())
        defer { cdcmtk_data_set_destroy(dataSet) }
        #expect(cdcmtk_item_put(cdcmtk_data_set_root(dataSet), 0x0008_0060, "CS", [0x4D, 0x52], 2) == CDCMTK_OK)
        #expect(cdcmtk_data_set_write(dataSet, { _, _, _ in 1 }, nil) == CDCMTK_IO)
    }

    @Test func `answers invalid arguments with a status`() throws {
        var dataSet: OpaquePointer?
        #expect(cdcmtk_data_set_read("/nonexistent", &dataSet) == CDCMTK_CORRUPT)
        #expect(dataSet == nil)
        #expect(!String(cString: cdcmtk_last_error()).isEmpty)
        var text = cdcmtk_bytes()
        #expect(cdcmtk_utf8("NO SUCH SET", [0x41], 1, "", &text) == CDCMTK_UNSUPPORTED)
        #expect(cdcmtk_inflate([1, 2, 3], 3, 100, &text) == CDCMTK_CORRUPT)
        var layout = cdcmtk_frame_layout()
        #expect(cdcmtk_decode_frame("1.2.840.10008.1.2.1", &layout, [], 0, nil, 0) == CDCMTK_UNSUPPORTED)
    }

    @Test func `knows the standard's dictionary`() {
        var vr = [CChar](repeating: 0, count: 3)
        cdcmtk_dictionary_vr(0x0040_A730, &vr)
        #expect(vr.map(UInt8.init(bitPattern:)) == Array("SQ\0".utf8))
        cdcmtk_dictionary_vr(0x0009_1001, &vr)
        #expect(vr.map(UInt8.init(bitPattern:)) == Array("UN\0".utf8))
    }

    @Test func `inflates up to its limit`() throws {
        // RFC 1951: one stored block of four bytes.
        let deflated: [UInt8] = [0x01, 0x04, 0x00, 0xFB, 0xFF, 1, 2, 3, 4]
        var out = cdcmtk_bytes()
        #expect(cdcmtk_inflate(deflated, deflated.count, 4, &out) == CDCMTK_OK)
        #expect(Array(UnsafeBufferPointer(start: out.data, count: out.length)) == [1, 2, 3, 4])
        cdcmtk_bytes_free(&out)
        #expect(cdcmtk_inflate(deflated, deflated.count, 3, &out) == CDCMTK_TOO_LARGE)
    }
}
