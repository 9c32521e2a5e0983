// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Testing
import TestSupport

/// Clips that `make_fixtures.py` draws: frame `n` has a colour of its own, and a white square that moves.
@Suite struct VideoTests {
    private static let clips = [
        "mpeg2_elementary", "mpeg2_program", "mpeg2_transport_fragmented", "h264_mp4", "h264_elementary_fragmented",
        "h264_transport", "hevc_elementary", "hevc_mp4_10bit",
    ]
    private static let frames = 12

    private func file(_ clip: String) throws -> InstanceFile {
        try InstanceFile(path: Fixture.path("video_\(clip)"))
    }

    /// The largest difference between a decoded frame and the drawing, away from edges.
    private func difference(_ frame: Frame, number: Int) -> Float {
        let index = number - 1
        let colour: [Float] = [Float(15 + 18 * index), Float(220 - 16 * index), 90]
        var worst: Float = 0
        for (row, column, expected) in [
            (4, 10, colour), (44, 50, colour), (24, 4 * index + 8, [255, 255, 255]), (24, 62, colour),
        ] {
            for channel in 0..<3 {
                let sample = frame.samples[(row * frame.columns + column) * 3 + channel]
                worst = max(worst, abs(sample - expected[channel]))
            }
        }
        return worst
    }

    @Test(arguments: clips)
    func `decodes the frames of every codec and container in the order of display`(clip: String) throws {
        let decoder = try FrameDecoder(file(clip))
        for number in 1...Self.frames {
            let frame = try decoder.frame(number)
            #expect((frame.rows, frame.columns, frame.channels) == (48, 64, 3))
            #expect(difference(frame, number: number) <= 12, "frame \(number)")
        }
        #expect(decoder.remarks == [])
    }

    @Test func `decodes only the frames that are asked for, in any order`() throws {
        let decoder = try FrameDecoder(file("h264_mp4"))
        for number in [3, 9, 2, 12, 12] {
            #expect(difference(try decoder.frame(number), number: number) <= 12, "frame \(number)")
        }
    }

    @Test(arguments: clips)
    func `reads rate and length of a clip`(clip: String) throws {
        let timing = try file(clip).timing()
        #expect(timing == FrameTiming(framesPerSecond: 25, frames: Self.frames))
    }

    @Test func `says that length or rate differ from the attributes`() throws {
        let short = try file("h264_too_few_frames")
        #expect(try short.timing().frames == Self.frames)
        #expect(try short.timing().remarks == ["the clip has 12 frames, and Number of Frames says 20"])
        let decoder = try FrameDecoder(short)
        #expect(
            throws: PixelDataError.frame(number: 14, reason: "the clip ends after frame 12")
        ) { try decoder.frame(14) }
        #expect(difference(try decoder.frame(12), number: 12) <= 12)

        let fast = try file("h264_wrong_rate").timing()
        #expect(fast.framesPerSecond == 25)
        #expect(fast.remarks == ["the clip has 25 frames per second, and its attributes say 50"])
    }

    @Test func `reads the rate of a cine loop from its attributes`() throws {
        func timing(_ elements: [(UInt32, String, String)]) throws -> FrameTiming {
            var data = ElementBytes.identified()
            for (tag, vr, text) in elements { data.add(tag, vr, text: text) }
            return try withTemporaryFolder { folder in
                let url = folder.appending(path: "instance")
                try data.write(to: url)
                return try InstanceFile(path: url.path).timing()
            }
        }
        #expect(try timing([(0x0028_0008, "IS", "9")]) == FrameTiming(framesPerSecond: nil, frames: 9))
        #expect(try timing([(0x0018_0040, "IS", "30")]).framesPerSecond == 30)
        #expect(try timing([(0x0018_0040, "IS", "30"), (0x0018_1063, "DS", "40")]).framesPerSecond == 25)
        #expect(try timing([(0x0018_1063, "DS", "0"), (0x0018_0040, "IS", "0")]).framesPerSecond == nil)
        #expect(try timing([(0x0018_1065, "DS", "0\\20\\20\\20")]).framesPerSecond == 50)
    }

    @Test func `chooses the first frame of each interval`() {
        let timing = FrameTiming(framesPerSecond: 25, frames: 50)
        #expect(timing.chosen(2, from: Array(1...50)) == [1, 14, 26, 39])
        #expect(timing.chosen(25, from: Array(1...50)) == Array(1...50))
        #expect(timing.chosen(1, from: [7, 8, 26, 30, 51]) == [7, 26, 51])
        #expect(timing.chosen(0.1, from: Array(1...50)) == [1])
        #expect(FrameTiming(framesPerSecond: 29.97, frames: 90).chosen(9.99, from: Array(1...9)) == [1, 4, 7])
        #expect(FrameTiming(framesPerSecond: nil, frames: 9).chosen(1, from: [1, 2, 3]) == [1, 2, 3])
    }

    @Test func `refuses what is not a clip`() throws {
        let whole = [UInt8](try Data(contentsOf: Fixture.url("video_h264_mp4")))
        let start = try #require(Data(whole).range(of: Data("ftyp".utf8))).lowerBound - 4
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            var bytes = whole
            for index in start..<bytes.count - 8 { bytes[index] = UInt8(truncatingIfNeeded: index &* 31) }
            try Data(bytes).write(to: url)
            #expect(throws: PixelDataError.self) { try InstanceFile(path: url.path).frames([1]) }
            #expect(throws: PixelDataError.self) { try InstanceFile(path: url.path).timing() }
        }
    }

    @Test(arguments: clips)
    func `survives changed bytes of a clip`(clip: String) throws {
        var random = SplitMix64(seed: 11)
        let whole = [UInt8](try Data(contentsOf: Fixture.url("video_\(clip)")))
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            for _ in 0..<10 {
                var bytes = whole
                for _ in 0..<Int.random(in: 1...20, using: &random) {
                    bytes[Int.random(in: whole.count / 3..<whole.count, using: &random)] = .random(
                        in: 0...255, using: &random)
                }
                try Data(bytes).write(to: url)
                let file = try? InstanceFile(path: url.path)
                _ = try? file?.frames([1, Self.frames])
                _ = try? file?.timing()
            }
        }
    }
}
