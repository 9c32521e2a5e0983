// SPDX-License-Identifier: Apache-2.0

import DICOM
import TestSupport
import Testing

@Suite struct JPEGStreamTests {
    private let frameHeader: [UInt8] = [0xFF, 0xC0, 0, 11, 8, 0, 2, 0, 3, 1, 1, 0x11, 0]
    private let scan: [UInt8] = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0xFF, 0x00, 0x34, 0xFF, 0xD0, 0x56]

    private func stream(_ parts: [UInt8]...) -> [UInt8] { [0xFF, 0xD8] + parts.flatMap { $0 } + [0xFF, 0xD9] }

    @Test func `reads the values of the frame header`() throws {
        let stream = try JPEGStream.read(stream(frameHeader, scan))
        #expect((stream.rows, stream.columns, stream.precision) == (2, 3, 8))
        #expect(stream.process == .baseline)
    }

    @Test func `accepts fill bytes and padding after the end`() throws {
        #expect(throws: Never.self) { try JPEGStream.read(stream([0xFF, 0xFF], frameHeader, scan) + [0]) }
    }

    @Test func `refuses invalid markers`() {
        let cases: [[UInt8]] = [
            [], [0xFF], [0xFF, 0xD8], [0x00, 0xD8, 0xFF, 0xD9],
            stream(), stream(frameHeader), stream(scan, frameHeader), stream(frameHeader, frameHeader, scan),
            stream(frameHeader, [0xFF, 0xE0, 0, 0], scan), stream(frameHeader, [0xFF, 0xE0, 0, 1], scan),
            stream(frameHeader, [0xFF, 0xE0, 0xFF, 0xFF], scan), stream(frameHeader, [0x12, 0x34], scan),
            stream(frameHeader, [0xFF, 0xD8], scan), stream(frameHeader, [0xFF, 0x02], scan),
            stream([0xFF, 0xC9, 0, 11, 8, 0, 2, 0, 3, 1, 1, 0x11, 0], scan),
            stream([0xFF, 0xC0, 0, 11, 8, 0, 2, 0, 3, 4, 1, 0x11, 0], scan),
            // No scan.
            [0xFF, 0xD8] + frameHeader, [0xFF, 0xD8] + frameHeader + [UInt8](repeating: 0xFF, count: 1000),
        ]
        for bytes in cases {
            #expect(throws: JPEGStream.Failure.self) { try JPEGStream.read(bytes) }
        }
    }

    @Test func `ends behind the last scan that makes sense`() throws {
        let start: [UInt8] = [0xFF, 0xD8] + frameHeader + scan
        let rests: [[UInt8]] = [
            [], [0], [0xFF, 0xDA], [0xFF, 0xC4, 0, 30, 1], [0xFF, 0xE0, 0, 0, 1], [0xFF, 0x02, 0xFF, 0xD9],
            [0xFF, 0xD8, 0xFF, 0xD9],
        ]
        for rest in rests {
            let stream = try JPEGStream.read(start + rest)
            #expect(stream.isCutOff)
            #expect((start.count...start.count + 1).contains(stream.usable))
        }
        let whole = try JPEGStream.read(start + [0xFF, 0xD9, 0])
        #expect(!whole.isCutOff && whole.usable == start.count + 2)
    }

    @Test func `survives any bytes behind a plausible start`() {
        var random = SplitMix64(seed: 3)
        for _ in 0..<5000 {
            let tail = (0..<Int.random(in: 0...200, using: &random)).map { _ in
                Bool.random(using: &random) ? UInt8.random(in: 0...255, using: &random) : 0xFF
            }
            _ = try? JPEGStream.read([0xFF, 0xD8] + frameHeader + tail)
        }
    }
}
