// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Testing
import TestSupport

/// Mistakes of writers that leave no doubt about the rest: each file is read as if it were right.
@Suite struct PatientReadingTests {
    private static let instance = "1.2.3.4"

    /// Reads the header of a file that begins with File Meta Information.
    private func header(_ bytes: [UInt8]) throws -> InstanceHeader {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            try Data(bytes).write(to: url)
            return try InstanceFile(path: url.path).header
        }
    }

    private func header(_ data: ElementBytes, syntax: String? = nil) throws -> InstanceHeader {
        let own =
            data.isExplicit
            ? data.isBigEndian ? ElementBytes.explicitBigEndian : ElementBytes.explicitLittleEndian
            : ElementBytes.implicitLittleEndian
        return try header(ElementBytes.partTen(syntax ?? own) + data.bytes)
    }

    /// The UIDs, then what the closure adds, then attributes of an image.
    private func image(
        isExplicit: Bool = true, isBigEndian: Bool = false, _ add: (inout ElementBytes) -> Void
    ) -> ElementBytes {
        var data = ElementBytes.identified(isExplicit: isExplicit, isBigEndian: isBigEndian)
        add(&data)
        data.add(0x0028_0010, short: 3)
        data.add(0x0028_0011, short: 5)
        data.add(0x7FE0_0010, "OW", [1, 2, 3, 4])
        return data
    }

    private func expectRead(_ data: ElementBytes, _ comment: Comment, syntax: String? = nil) throws {
        let header = try header(data, syntax: syntax)
        #expect((header.sopInstanceUID, header.rows, header.columns) == (Self.instance, 3, 5), comment)
        #expect(header.kind == .image, comment)
    }

    // MARK: Representations

    @Test(arguments: ["--", "??", "  ", "\0\0", "ox"])
    func `skips an element with a blank or unknown representation of short length`(vr: String) throws {
        for count in 1...4 {
            try expectRead(
                image { data in
                    for number in 0..<count { data.add(0x0021_1001 + UInt32(number), vr, text: "VALUE") }
                }, "\(count) of \(vr)")
        }
    }

    @Test(arguments: ["OX", "ZZ"])
    func `skips an element with a representation of a later edition, which has a long length`(vr: String) throws {
        try expectRead(
            image { data in
                data.bytes += [0x21, 0x00, 0x01, 0x10] + Array(vr.utf8) + [0, 0, 6, 0, 0, 0] + Array("VALUE ".utf8)
            }, "\(vr)")
    }

    @Test func `skips an element without a representation in explicit encoding`() throws {
        try expectRead(
            image { $0.bytes += [0x21, 0x00, 0x01, 0x10, 6, 0, 0, 0] + Array("VALUE ".utf8) }, "implicit element")
    }

    @Test func `skips an element that ends after its blank representation`() throws {
        try expectRead(
            image { data in
                data.add(0x0021_1001, "  ", [0, 0])
                data.bytes += [0x21, 0x00, 0x01, 0x10, 0x20, 0x20]
            }, "neither length nor value")
    }

    @Test func `reads a representation of long length with a short length`() throws {
        try expectRead(
            image { $0.bytes += [0x21, 0x00, 0x01, 0x10] + Array("UN".utf8) + [6, 0] + Array("VALUE ".utf8) }, "UN")
    }

    @Test func `skips a sequence of unknown representation and undefined length`() throws {
        try expectRead(
            image { data in
                data.bytes += [0x21, 0x00, 0x01, 0x10] + Array("OX".utf8) + [0, 0, 0xFF, 0xFF, 0xFF, 0xFF]
                data.add(0xFFFE_E000, "", length: ElementBytes.undefined)
                data.add(0xFFFE_E00D, "")
                data.add(0xFFFE_E0DD, "")
            }, "OX")
    }

    @Test func `takes the representation of the dictionary if the file's is blank`() throws {
        var data = ElementBytes.identified()
        data.add(0x0028_0010, "  ", [7, 0])
        data.add(0x0028_0011, short: 5)
        #expect(try header(data).rows == 7)
    }

    @Test func `reads explicit encoding inside a sequence of representation UN`() throws {
        for isItemOpen in [true, false] {
            var inside = ElementBytes()
            inside.add(0x0008_0100, "SH", text: "AB")
            inside.add(0x0008_0104, "LO", text: "MEANING")
            try expectRead(
                image { data in
                    data.add(0x0021_1001, "UN", length: ElementBytes.undefined)
                    data.add(
                        0xFFFE_E000, "",
                        length: isItemOpen ? ElementBytes.undefined : UInt32(inside.bytes.count), inside.bytes)
                    if isItemOpen { data.add(0xFFFE_E00D, "") }
                    data.add(0xFFFE_E0DD, "")
                    // The letters SH, read as a length, end inside this value.
                    data.add(0x0021_1010, "OB", [UInt8](repeating: 0x31, count: 400_000))
                }, "item of undefined length: \(isItemOpen)")
        }
    }

    // MARK: Sequences

    @Test(arguments: [true, false])
    func `passes over text under the tag of a sequence`(isExplicit: Bool) throws {
        try expectRead(
            image(isExplicit: isExplicit) { $0.add(0x0012_0064, "SQ", Array("Invented Header Anonymizer".utf8)) },
            "De-identification Method Code Sequence")
        try expectRead(
            image(isExplicit: isExplicit) { $0.add(0x0012_0064, "SQ", Array("AB".utf8)) }, "two characters")
    }

    @Test(arguments: [0xFFFE_E00D, 0xFFFE_E0DD] as [UInt32])
    func `passes over delimiters that do not end anything`(tag: UInt32) throws {
        try expectRead(image { $0.add(tag, "") }, "at the top")
        var after = image { _ in }
        after.add(tag, "")
        try expectRead(after, "after Pixel Data")
        try expectRead(
            image { data in
                data.add(0x0012_0064, "SQ", length: 8 + 10 + 8 + 8)
                data.add(0xFFFE_E000, "", length: 10 + 8)
                data.add(0x0008_0100, "SH", text: "AB")
                data.add(tag, "")
                data.add(tag, "")
            }, "in an item and in a sequence with lengths")
    }

    @Test func `closes items and sequences that lack their delimiters`() throws {
        try expectRead(
            image { data in
                data.add(0x0012_0064, "SQ", length: ElementBytes.undefined)
                data.add(0xFFFE_E000, "", length: ElementBytes.undefined)
                data.add(0x0008_0100, "SH", text: "AB")
                data.add(0xFFFE_E000, "", length: ElementBytes.undefined)
                data.add(0x0008_0100, "SH", text: "AB")
                data.add(0xFFFE_E0DD, "")
            }, "items")
        try expectRead(
            image { data in
                data.add(0x0012_0064, "SQ", length: 8 + 12 + 8 + 10)
                data.add(0xFFFE_E000, "", length: 12 + 8 + 10)
                data.add(0x0012_0064, "SQ", length: ElementBytes.undefined)
                data.add(0xFFFE_E000, "", length: ElementBytes.undefined)
                data.add(0x0008_0100, "SH", text: "AB")
            }, "inside an item with a length")
    }

    @Test func `passes over an item outside of a sequence`() throws {
        var inside = ElementBytes()
        inside.add(0x0028_0010, short: 99)
        try expectRead(image { $0.add(0xFFFE_E000, "", inside.bytes) }, "of defined length")
        try expectRead(
            image { data in
                data.add(0xFFFE_E000, "", length: ElementBytes.undefined, inside.bytes)
                data.add(0xFFFE_E00D, "")
            }, "of undefined length")
    }

    // MARK: Elements

    @Test func `takes the first of two elements`() throws {
        try expectRead(image { $0.add(0x0020_000E, "UI", text: "1.2.3.4.3") }, "Series Instance UID")
        #expect(try header(image { $0.add(0x0020_000E, "UI", text: "1.2.3.4.3") }).seriesInstanceUID == "1.2.3.4.2")
        #expect(try header(image { $0.add(0x0028_0010, short: 3) }).rows == 3)
    }

    @Test func `needs nothing that comes after Pixel Data`() throws {
        var data = image { _ in }
        data.bytes += Array("FUZZ FUZZ FUZZ".utf8)
        try expectRead(data, "rubbish after Pixel Data")
    }

    @Test(arguments: [true, false])
    func `passes over commands and old File Meta Information in the data set`(isExplicit: Bool) throws {
        let old = "1.2.840.10008.1.2.4.50"
        for isOldExplicit in [true, false] {
            var before = ElementBytes(isExplicit: isOldExplicit)
            before.add(0x0000_0000, "UL", [10, 0, 0, 0])
            before.add(0x0000_0100, "US", [1, 0])
            before.add(0x0002_0000, "UL", [28, 0, 0, 0])
            before.add(0x0002_0010, "UI", text: old)
            let data = image(isExplicit: isExplicit) { _ in }
            let syntax = isExplicit ? ElementBytes.explicitLittleEndian : ElementBytes.implicitLittleEndian
            for start in [0, before.bytes.count - 12 - 8 - old.utf8.count] {
                let found = try header(ElementBytes.partTen(syntax) + before.bytes[start...] + data.bytes)
                #expect((found.rows, found.transferSyntaxUID) == (3, syntax))
            }
        }
    }

    @Test func `passes over a command in the order of bytes of a big-endian data set`() throws {
        let data = image(isBigEndian: true) { _ in }
        for isBigEndian in [true, false] {
            var command = ElementBytes(isBigEndian: isBigEndian)
            command.add(0x0000_0000, "UL", [0, 0, 0, 10])
            command.add(0x0000_0100, "US", [0, 1])
            let found = try header(
                ElementBytes.partTen(ElementBytes.explicitBigEndian) + command.bytes + data.bytes)
            #expect((found.rows, found.columns) == (3, 5))
        }
    }

    @Test func `keeps to the declared encoding if the first element has an unknown representation`() throws {
        for vr in ["??", "  "] {
            var first = ElementBytes()
            first.add(0x0008_0000, vr, [1, 2, 3, 4])
            let data = image { $0.add(0x0021_1010, "OB", [UInt8](repeating: 0x31, count: 400_000)) }
            let found = try header(ElementBytes.partTen(ElementBytes.explicitLittleEndian) + first.bytes + data.bytes)
            #expect((found.rows, found.columns) == (3, 5))
        }
    }

    @Test func `begins the data set where the node's own File Meta Information ends`() throws {
        let meta = FileMetaTests.meta.encoded
        var old = ElementBytes()
        old.add(0x0002_0000, "UL", [14, 0, 0, 0])
        old.add(0x0002_0100, "UI", text: "1.2.3")
        let (_, offset) = try (meta + old.bytes).withUnsafeBytes { try FileMeta.read($0) }
        #expect(offset == meta.count)
    }

    @Test func `takes the UIDs of the File Meta Information if the data set lacks them`() throws {
        var meta = ElementBytes()
        meta.add(0x0002_0002, "UI", text: "1.2.840.10008.5.1.4.1.1.7")
        meta.add(0x0002_0003, "UI", text: Self.instance)
        meta.add(0x0002_0010, "UI", text: ElementBytes.explicitLittleEndian)
        var data = ElementBytes()
        data.add(0x0008_0060, "CS", text: "OT")
        data.add(0x0020_000D, "UI", text: "1.2.3.4.1")
        data.add(0x0020_000E, "UI", text: "1.2.3.4.2")
        let found = try header([UInt8](repeating: 0, count: 128) + Array("DICM".utf8) + meta.bytes + data.bytes)
        #expect(found.sopInstanceUID == Self.instance)
        #expect(found.sopClassUID == "1.2.840.10008.5.1.4.1.1.7")
    }

    @Test func `says that a DICOMDIR is one`() throws {
        var data = ElementBytes()
        data.add(0x0004_1220, "SQ", length: 0)
        #expect(throws: DataSetError.mediaDirectory) { try header(data) }
    }

    @Test func `finds the beginning of a file that lacks preamble or transfer syntax, and says if it is none`() throws {
        // The letters DICM lie at byte 128, inside a value.
        var data = ElementBytes()
        data.add(0x0008_0005, "CS", text: "ISO_IR 100")
        data.add(0x0008_0008, "CS", text: String(repeating: "X", count: 102) + "DICM")
        #expect(Array(data.bytes[128..<132]) == Array("DICM".utf8))
        for (tag, uid) in [(0x0008_0016, "1.2.3"), (0x0008_0018, Self.instance)] as [(UInt32, String)] {
            data.add(tag, "UI", text: uid)
        }
        data.add(0x0020_000D, "UI", text: "1.2.3.4.1")
        data.add(0x0020_000E, "UI", text: "1.2.3.4.2")
        #expect(try header(data.bytes).sopInstanceUID == Self.instance)

        var meta = ElementBytes()
        meta.add(0x0002_0002, "UI", text: "1.2.3")
        let start = [UInt8](repeating: 0, count: 128) + Array("DICM".utf8) + meta.bytes
        #expect(try header(start + image { _ in }.bytes).rows == 3)
        for rubbish in ["This is no data set at all.", "\0\0\u{22}8lcms\u{2}0\0\0mntrRGB XYZ"] {
            for bytes in [start + Array(rubbish.utf8), Array(rubbish.utf8)] {
                let error = #expect(throws: DataSetError.self) { try header(bytes) }
                guard case .notDICOM = error else {
                    Issue.record("\(rubbish.prefix(9)): \(String(describing: error))")
                    continue
                }
            }
        }
    }

    // MARK: Values

    @Test func `takes empty attributes as absent`() throws {
        for value in ["", "  ", "\0"] {
            let found = try header(
                image { data in
                    data.add(0x0020_0032, "DS", text: value)
                    data.add(0x0020_0037, "DS", text: value)
                    data.add(0x0028_0002, "US", [])
                    data.add(0x0028_0008, "IS", text: value)
                    data.add(0x0028_0030, "DS", text: value)
                })
            #expect((found.numberOfFrames, found.samplesPerPixel) == (1, 1))
            #expect(found.planeProblem == nil)
        }
    }

    @Test func `reads whole numbers that are written otherwise`() throws {
        #expect(try header(image { $0.add(0x0028_0008, "IS", text: "3.0") }).numberOfFrames == 3)
        #expect(try header(image { $0.add(0x0028_0008, "US", [3, 0]) }).numberOfFrames == 3)
        #expect(try header(image { $0.add(0x0028_0008, "FD", [0, 0, 0, 0, 0, 0, 8, 0x40]) }).numberOfFrames == 3)
        #expect(throws: DataSetError.self) { try header(image { $0.add(0x0028_0008, "IS", text: "1A") }) }
    }

    // MARK: Fragments

    private func compressed(_ ending: [UInt8]) -> [UInt8] {
        var data = ElementBytes.identified()
        data.add(0x7FE0_0010, "OB", length: ElementBytes.undefined)
        data.add(0xFFFE_E000, "", [])
        data.add(0xFFFE_E000, "", [0xFF, 0xD8, 0xFF, 0xD9])
        return ElementBytes.partTen("1.2.840.10008.1.2.4.50") + data.bytes + ending
    }

    @Test func `ends the fragments with the file, however their delimiter is cut off`() throws {
        let delimiter: [UInt8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]
        for ending in (0...8).map({ Array(delimiter.prefix($0)) }) + [
            [UInt8](repeating: 0, count: 8), [UInt8](repeating: 0, count: 500), delimiter + delimiter,
            Array(delimiter.prefix(4)) + [0xFF, 0xFF, 0xFF, 0xFF],
        ] {
            let found = try header(compressed(ending))
            #expect((found.sopInstanceUID, found.kind) == (Self.instance, .image), "\(ending.count) bytes")
        }
        var after = ElementBytes()
        after.add(0xFFFC_FFFC, "OB", [0, 0])
        #expect(try header(compressed(after.bytes)).kind == .image)
    }

    @Test func `reads fragments in implicit encoding`() throws {
        var data = ElementBytes.identified(isExplicit: false)
        data.add(0x7FE0_0010, "", length: ElementBytes.undefined)
        data.add(0xFFFE_E000, "", [])
        data.add(0xFFFE_E000, "", [0xFF, 0xD8, 0xFF, 0xD9])
        data.add(0xFFFE_E0DD, "")
        #expect(try header(data, syntax: "1.2.840.10008.1.2.4.50").kind == .image)
    }

    @Test func `asks for a whole copy only if bytes are missing`() throws {
        let whole = compressed([])
        for missing in 1...3 {
            let error = #expect(throws: DataSetError.self) { try header(Array(whole.dropLast(missing))) }
            #expect(error?.description.contains("send the instance again from a whole copy") == true)
        }
    }
}
