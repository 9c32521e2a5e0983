// SPDX-License-Identifier: Apache-2.0

import DICOM
import Testing

@Suite struct DerivedUIDTests {
    /// Made by: `python3 -c "import hashlib, struct; f = [b'1.2.3', b'', b'polyp'];
    /// h = bytearray(hashlib.sha256(b''.join(struct.pack('>Q', len(x)) + x for x in f)).digest()[:16]);
    /// h[6] = h[6] & 15 | 128; h[8] = h[8] & 63 | 128; print('2.25.%d' % int.from_bytes(h, 'big'))"`
    @Test func `makes the UID that the definition gives`() {
        #expect(DerivedUID.make(["1.2.3", "", "polyp"]) == "2.25.316524775512114639231770788536184921375")
    }

    @Test func `tells apart fields that run together`() {
        let uids = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["", "abc"]].map(DerivedUID.make)
        #expect(Set(uids).count == uids.count)
    }

    @Test func `makes valid UIDs of version 8 and the right variant`() throws {
        for number in 0..<200 {
            let uid = DerivedUID.make(["\(number)"])
            #expect(uid.hasPrefix("2.25."))
            #expect(uid.utf8.count <= 64)
            let value = try #require(UInt128(uid.dropFirst(5)))
            #expect(value >> 76 & 0xF == 8)
            #expect(value >> 62 & 0x3 == 2)
        }
    }
}
