// SPDX-License-Identifier: Apache-2.0

import DICOM
import Testing

@Suite struct FileMetaTests {
    static let meta = FileMeta(
        sopClassUID: "1.2.840.10008.5.1.4.1.1.4", sopInstanceUID: "1.2.3", transferSyntaxUID: "1.2.840.10008.1.2",
        sourceAETitle: AETitle("ENDO1"))

    private static func read(_ bytes: [UInt8]) throws -> (meta: FileMeta, dataSetOffset: Int) {
        try bytes.withUnsafeBytes { try FileMeta.read($0) }
    }

    @Test func `writes preamble, prefix and elements in order`() {
        let bytes = Self.meta.encoded
        #expect(bytes[..<128].allSatisfy { $0 == 0 })
        #expect(
            Array(bytes[128..<158]) == [
                0x44, 0x49, 0x43, 0x4D,  // "DICM"
                0x02, 0x00, 0x00, 0x00, 0x55, 0x4C, 0x04, 0x00,  // (0002,0000) UL, 4 bytes
                UInt8((bytes.count - 144) & 0xFF), 0x00, 0x00, 0x00,  // all that follows
                // (0002,0001) OB 00 01
                0x02, 0x00, 0x01, 0x00, 0x4F, 0x42, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01,
            ])
        #expect(
            Array(bytes.suffix(14)) == [
                0x02, 0x00, 0x16, 0x00, 0x41, 0x45, 0x06, 0x00,  // (0002,0016) AE, 6 bytes
                0x45, 0x4E, 0x44, 0x4F, 0x31, 0x20,  // "ENDO1", padded with a space
            ])
        #expect(bytes.count % 2 == 0)
    }

    @Test func `reads what it writes, and where the data set begins`() throws {
        let dataSet: [UInt8] = [0x08, 0x00, 0x05, 0x00, 0, 0, 0, 0]
        let (meta, offset) = try Self.read(Self.meta.encoded + dataSet)
        #expect(meta == Self.meta)
        #expect(offset == Self.meta.encoded.count)
    }

    @Test func `text and cut off files are refused`() {
        #expect(throws: DataSetError.self) { try Self.read(Array("This is not DICOM.".utf8)) }
        for count in 0..<200 {
            #expect(throws: DataSetError.self) { try Self.read(Array(Self.meta.encoded[..<count])) }
        }
    }

    @Test func `a value that is not a UID is refused, and not repeated`() {
        var meta = Self.meta
        meta.sopInstanceUID = "DOE^JOHN"
        #expect(throws: DataSetError.invalidValue(attribute: "MediaStorageSOPInstanceUID", reason: "it is not a UID")) {
            try Self.read(meta.encoded)
        }
    }

    @Test func `random changes never trap`() {
        var fuzzer = ByteFuzzer(seed: 3)
        for _ in 0..<5_000 {
            _ = try? Self.read(fuzzer.spoil(Self.meta.encoded, changes: 6))
        }
    }
}
