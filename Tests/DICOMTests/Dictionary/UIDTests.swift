// SPDX-License-Identifier: Apache-2.0

import DICOM
import Testing

@Suite struct UIDTests {
    @Test(arguments: ["1.2", "1.2.840.10008.1.2", "2.25.0", "1.02.3", String(repeating: "1.", count: 31) + "12"])
    func `takes digits and dots, also with leading zeros, up to 64 characters`(text: String) {
        #expect(UID(text)?.text == text)
        #expect(UID(padded: Array(text.utf8) + [0])?.text == text)
        #expect(UID(padded: Array(text.utf8) + [0x20, 0])?.text == text)
    }

    @Test(arguments: [
        "", "7", ".", "1.", ".1", "1..2", "1.2.", "1.2a", "1.2 3", "1.-2", "1.\u{0661}",
        String(repeating: "1.", count: 32) + "1",
    ])
    func `refuses a text that is not a UID by PS3_5`(text: String) {
        #expect(UID(text) == nil)
        #expect(UID(padded: Array(text.utf8)) == nil)
    }
}

@Suite struct SOPClassTests {
    @Test func `has every class of images once, by UID and by keyword`() {
        #expect(Set(SOPClass.images.map(\.uid)).count == SOPClass.images.count)
        #expect(Set(SOPClass.images.map(\.keyword)).count == SOPClass.images.count)
        for known in SOPClass.images {
            #expect(UID(known.uid) != nil && !SOPClass.isService(known.uid))
            #expect(known.keyword.hasSuffix("Storage") && known.name.hasSuffix(" Storage"))
        }
        #expect(SOPClass.image("1.2.840.10008.5.1.4.1.1.4")?.keyword == "MRImageStorage")
        #expect(SOPClass.image(SOPClass.segmentation) == nil)
    }
}

@Suite struct DerivedUIDTests {
    /// The number was made by this command.
    ///
    /// `python3 -c "import hashlib, struct; f = [b'1.2.3', b'', b'polyp'];
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
