// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Testing
import TestSupport

@Suite struct InstanceFileFramesTests {
    @Test(arguments: Fixture.decoded)
    func `decodes every fixture as pydicom and DCMTK do`(name: String) throws {
        let expected = try Fixture.expected(name)
        let decoded = try InstanceFile(path: Fixture.path(name)).frames()
        #expect(decoded.count == expected.frames.count)
        for (frame, wanted) in zip(decoded, expected.frames) {
            #expect((frame.rows, frame.columns, frame.channels) == (expected.rows, expected.columns, expected.channels))
            let worst = zip(frame.samples, wanted).map { abs($0 - $1) }.max() ?? .infinity
            #expect(worst <= expected.tolerance + 1e-3, "off by \(worst)")
        }
    }

    @Test func `has fixtures for every transfer syntax that it claims to decode`() throws {
        let found = Set(try Fixture.decoded.map { try InstanceFile(path: Fixture.path($0)).header.transferSyntaxUID })
        // Retired Process 6 & 8, which no encoder makes any more, is tried with the data of third parties.
        // Video has tests of its own.
        let claimed = Set(TransferSyntax.decodable.filter { !$0.isVideo }.map(\.rawValue))
            .subtracting(["1.2.840.10008.1.2.4.53"])
        #expect(claimed.subtracting(found) == [])
    }

    @Test func `decodes only the requested frames`() throws {
        let all = try InstanceFile(path: Fixture.path("movie_jpeg_baseline")).frames()
        let some = try InstanceFile(path: Fixture.path("movie_jpeg_baseline")).frames([3, 1])
        #expect(some.map(\.samples) == [all[2].samples, all[0].samples])
        #expect(throws: PixelDataError.self) {
            try InstanceFile(path: Fixture.path("movie_jpeg_baseline")).frames([4])
        }
    }

    @Test func `reads header, frames and digest of a file that was opened once`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            try FileManager.default.copyItem(at: Fixture.url("ct_explicit_little_endian"), to: url)
            let file = try InstanceFile(path: url.path)
            let digest = try file.imageDigest()
            try FileManager.default.removeItem(at: url)
            let again = try InstanceFile(path: Fixture.path("ct_explicit_little_endian"))
            #expect(try file.frames().map(\.samples) == again.frames().map(\.samples))
            #expect(try file.frames([1]).count == 1)
            #expect(try file.imageDigest() == digest)
        }
    }

    @Test func `names the transfer syntax or class that it refuses`() throws {
        #expect(throws: PixelDataError.unsupportedTransferSyntax(uid: "1.2.840.10008.1.2.4.92")) {
            try InstanceFile(path: Fixture.path("refused_jpeg2000_part_2")).frames()
        }
        #expect(
            throws: PixelDataError.unsupportedClass(
                name: "Enhanced MR Color Image Storage", uid: "1.2.840.10008.5.1.4.1.1.4.3")
        ) { try InstanceFile(path: Fixture.path("refused_enhanced_mr_color")).frames() }
        #expect(
            PixelDataError.unsupportedTransferSyntax(uid: "1.2.840.10008.1.2.4.92").description
                == "cannot decode transfer syntax JPEG 2000 Multi-component Lossless (1.2.840.10008.1.2.4.92); "
                + "have the sender use another")
    }

    /// An 8-bit image of 2 x 3 with some attributes changed.
    private func refusal(
        rows: UInt16 = 2, columns: UInt16 = 3, samples: UInt16 = 1, photometric: String = "MONOCHROME2",
        allocated: UInt16 = 8, stored: UInt16 = 8, highBit: UInt16 = 7, frames: String = "1", bytes: Int = 6
    ) throws -> PixelDataError? {
        var data = ElementBytes.identified()
        data.add(0x0028_0002, short: samples)
        data.add(0x0028_0004, "CS", text: photometric)
        data.add(0x0028_0008, "IS", text: frames)
        data.add(0x0028_0010, short: rows)
        data.add(0x0028_0011, short: columns)
        data.add(0x0028_0100, short: allocated)
        data.add(0x0028_0101, short: stored)
        data.add(0x0028_0102, short: highBit)
        data.add(0x0028_0103, short: 0)
        data.add(0x7FE0_0010, "OB", [UInt8](repeating: 1, count: bytes))
        return try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            try data.write(to: url)
            do {
                _ = try InstanceFile(path: url.path).frames()
                return nil
            } catch let error as PixelDataError { return error }
        }
    }

    @Test func `refuses images that promise more than they hold`() throws {
        #expect(try refusal() == nil)
        #expect(try refusal(rows: 3) != nil)
        #expect(try refusal(rows: 0) != nil)
        #expect(try refusal(frames: "2") != nil)
        #expect(try refusal(samples: 3) != nil)
        #expect(try refusal(samples: 3, photometric: "RGB") != nil)
        #expect(try refusal(photometric: "DOE^JOHN")?.description.contains("DOE") == false)
        #expect(try refusal(samples: 4, bytes: 24) != nil)
        #expect(try refusal(allocated: 32, stored: 32, highBit: 31) != nil)
        #expect(try refusal(allocated: 24, stored: 24, highBit: 23, bytes: 18) != nil)
        #expect(try refusal(stored: 9) != nil)
        #expect(try refusal(stored: 0) != nil)
        guard case .tooLarge = try refusal(rows: 65_535, columns: 65_535) else {
            Issue.record("an image of 17 GB was not refused for its size")
            return
        }
        guard case .tooLarge = try refusal(rows: 65_535, columns: 65_535, frames: "2147483647") else {
            Issue.record("a number of bytes past 64 bits was not refused for its size")
            return
        }
    }

    /// Changed files for each fixture: `KONTUR_FUZZ` asks for more than the usual few.
    private static let changes = ProcessInfo.processInfo.environment["KONTUR_FUZZ"].flatMap { Int($0) } ?? 40

    @Test(arguments: Fixture.decoded)
    func `survives changed bytes`(name: String) throws {
        var random = SplitMix64(seed: 7)
        let whole = [UInt8](try Data(contentsOf: Fixture.url(name)))
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            for _ in 0..<Self.changes {
                var bytes = whole
                // Mostly in the last part, where the pixels are.
                let start = Bool.random(using: &random) ? 132 : max(132, bytes.count - 600)
                for _ in 0..<Int.random(in: 1...8, using: &random) {
                    bytes[Int.random(in: start..<bytes.count, using: &random)] = UInt8.random(
                        in: 0...255, using: &random)
                }
                try Data(bytes).write(to: url)
                _ = try? InstanceFile(path: url.path).frames()
            }
        }
    }
}
