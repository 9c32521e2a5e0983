// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Testing
import TestSupport

/// Files that must be refused, with the reason, before other code reads them.
@Suite struct HostileDataSetTests {
    /// The reason why the bytes are refused; `nil` if they are read.
    private func refusal(of bytes: [UInt8]) throws -> DataSetError? {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            try Data(bytes).write(to: url)
            do {
                _ = try InstanceFile(path: url.path)
                return nil
            } catch let error as DataSetError { return error }
        }
    }

    private func file(_ data: ElementBytes) -> [UInt8] {
        let syntax =
            data.isExplicit
            ? data.isBigEndian ? ElementBytes.explicitBigEndian : ElementBytes.explicitLittleEndian
            : ElementBytes.implicitLittleEndian
        return ElementBytes.partTen(syntax) + data.bytes
    }

    @Test(arguments: [(true, false), (true, true), (false, false)])
    func `refuses 20,000 nested sequences of undefined length`(isExplicit: Bool, isBigEndian: Bool) throws {
        var data = ElementBytes.identified(isExplicit: isExplicit, isBigEndian: isBigEndian)
        for _ in 0..<20_000 {
            data.add(0x0040_A730, "SQ", length: ElementBytes.undefined)
            data.add(0xFFFE_E000, "", length: ElementBytes.undefined)
        }
        #expect(try refusal(of: file(data)) == .nestedTooDeep(limit: 64))
    }

    @Test(arguments: [true, false])
    func `refuses 20,000 nested sequences of defined length`(isExplicit: Bool) throws {
        var content: [UInt8] = []
        // Headers from the inside out: 12 or 8 bytes of sequence, 8 of item.
        for _ in 0..<20_000 {
            var head = ElementBytes(isExplicit: isExplicit)
            head.add(0x0040_A730, "SQ", length: UInt32(content.count + 8))
            head.add(0xFFFE_E000, "", length: UInt32(content.count))
            content = head.bytes + content
        }
        var data = ElementBytes.identified(isExplicit: isExplicit)
        data.bytes += content
        #expect(try refusal(of: file(data)) == .nestedTooDeep(limit: 64))
    }

    @Test func `refuses sequences of VR UN nested without end`() throws {
        var data = ElementBytes.identified()
        data.add(0x0040_A730, "UN", length: ElementBytes.undefined)
        data.isExplicit = false
        for _ in 0..<20_000 {
            data.add(0xFFFE_E000, "", length: ElementBytes.undefined)
            data.add(0x0009_1001, "", length: ElementBytes.undefined)
        }
        data.isExplicit = true
        #expect(try refusal(of: file(data)) == .nestedTooDeep(limit: 64))
    }

    @Test func `reads sequences nested as deep as the limit`() throws {
        var data = ElementBytes.identified()
        for _ in 0..<64 {
            data.add(0x0040_A730, "SQ", length: ElementBytes.undefined)
            data.add(0xFFFE_E000, "", length: ElementBytes.undefined)
        }
        for _ in 0..<64 {
            data.add(0xFFFE_E00D, "")
            data.add(0xFFFE_E0DD, "")
        }
        #expect(try refusal(of: file(data)) == nil)
    }

    @Test func `looks at a million elements of zeros in time`() throws {
        var data = ElementBytes.identified(isExplicit: false)
        data.bytes += [UInt8](repeating: 0, count: 8 * 990_000)
        data.add(0x7FE0_0010, "OW", [1, 2])
        let begin = ContinuousClock.now
        #expect(try refusal(of: file(data)) == nil)
        #expect(ContinuousClock.now - begin < .seconds(10))
    }

    @Test(arguments: ["OB", "UT"])
    func `refuses an undefined length where PS3_5 forbids it`(vr: String) throws {
        var data = ElementBytes.identified()
        data.add(0x0040_A730, vr, length: ElementBytes.undefined)
        let error = try refusal(of: file(data))
        guard case .invalidLength(_, _, 0xFFFF_FFFF) = error else {
            Issue.record("refused for \(String(describing: error))")
            return
        }
    }

    @Test func `refuses an undefined length of a fragment`() throws {
        var data = ElementBytes.identified()
        data.add(0x7FE0_0010, "OB", length: ElementBytes.undefined)
        data.add(0xFFFE_E000, "", length: ElementBytes.undefined)
        guard case .invalidLength("a fragment of PixelData", _, _) = try refusal(of: file(data)) else {
            Issue.record("it was read")
            return
        }
    }

    @Test func `refuses an element longer than the item around it`() throws {
        var data = ElementBytes.identified()
        data.add(0x0040_A730, "SQ", length: 8 + 8 + 20)
        data.add(0xFFFE_E000, "", length: 10)
        data.add(0x0008_0100, "SH", length: 20, [UInt8](repeating: 0x41, count: 20))
        guard case .invalidLength = try refusal(of: file(data)) else {
            Issue.record("it was read")
            return
        }
    }

    @Test func `refuses every truncation of an instance with sequences`() throws {
        var data = ElementBytes.identified()
        data.add(0x0040_A730, "SQ", length: ElementBytes.undefined)
        data.add(0xFFFE_E000, "", length: 10)
        data.add(0x0008_0100, "SH", text: "AB")
        data.add(0xFFFE_E0DD, "")
        data.add(0x7FE0_0010, "OW", [1, 2, 3, 4])
        let whole = file(data)
        #expect(try refusal(of: whole) == nil)
        let dataSet = whole.count - data.bytes.count
        // Cut between two elements at the top, what is left is an instance without the rest.
        let boundaries = Set([whole.count - 16, whole.count - 16 - 48 + 10])
        for length in dataSet + 1..<whole.count where !boundaries.contains(length) {
            let error = try refusal(of: Array(whole[..<length]))
            #expect(error != nil || length == whole.count - 16, "cut at \(length)")
        }
    }

    @Test func `refuses text and empty files, which are not DICOM`() throws {
        for text in ["", "x", "This is a letter, not an image.\n", String(repeating: "DICOM? ", count: 100)] {
            let error = try refusal(of: Array(text.utf8))
            guard case .notDICOM = error else {
                Issue.record("\(text.prefix(20)): \(String(describing: error))")
                continue
            }
        }
    }

    @Test(arguments: [0x0008_0016, 0x0008_0018, 0x0020_000D, 0x0020_000E] as [UInt32])
    func `refuses an instance without its UIDs`(missing: UInt32) throws {
        var data = ElementBytes()
        for tag in [0x0008_0016, 0x0008_0018, 0x0020_000D, 0x0020_000E] as [UInt32] where tag != missing {
            data.add(tag, "UI", text: "1.2.3")
        }
        guard case .missing = try refusal(of: file(data)) else {
            Issue.record("it was read")
            return
        }
    }

    @Test func `refuses a value that is not a UID, without repeating it`() throws {
        var data = ElementBytes()
        data.add(0x0008_0016, "UI", text: "1.2.840.10008.5.1.4.1.1.7")
        data.add(0x0008_0018, "UI", text: "../../etc/DOE^JOHN")
        data.add(0x0020_000D, "UI", text: "1.2.3")
        data.add(0x0020_000E, "UI", text: "1.2.3")
        let error = try #require(try refusal(of: file(data)))
        #expect(error == .invalidValue(attribute: "SOPInstanceUID", reason: "it is not a UID"))
        #expect(!error.description.contains("DOE"))
    }

    @Test func `refuses a deflated data set that ends early or grows without bound`() throws {
        let fixture = Fixture.url("ct_deflated")
        let whole = [UInt8](try Data(contentsOf: fixture))
        #expect(try refusal(of: whole) == nil)
        #expect(try refusal(of: Array(whole.dropLast(200))) != nil)
    }

    @Test func `survives a thousand changed bytes in every fixture`() throws {
        var random = SplitMix64(seed: 20_240_115)
        for fixture in try Fixture.all() {
            let whole = [UInt8](try Data(contentsOf: fixture))
            try withTemporaryFolder { folder in
                let url = folder.appending(path: "instance")
                for _ in 0..<40 {
                    var bytes = whole
                    for _ in 0..<Int.random(in: 1...25, using: &random) {
                        bytes[Int.random(in: 128..<bytes.count, using: &random)] = UInt8.random(
                            in: 0...255, using: &random)
                    }
                    if Bool.random(using: &random) {
                        bytes = Array(bytes.prefix(Int.random(in: 0..<bytes.count, using: &random)))
                    }
                    try Data(bytes).write(to: url)
                    // Any answer will do.
                    _ = try? InstanceFile(path: url.path).imageDigest()
                }
            }
        }
    }
}
