// SPDX-License-Identifier: Apache-2.0
//
// Video: PS3.5 8.2.5 to 8.2.13. Pixel Data is one stream, in one fragment or in several. Its container is an elementary
// stream, an MPEG-2 program or transport stream, or MP4.

import CVideo

/// The clip of one video instance.
///
/// Frames depend on earlier ones, so a clip is decoded forwards. A frame before the last one begins the clip anew.
final class VideoPixels {
    private let layout: PixelLayout
    private let data: DataSet
    private let pieces: [cvideo_piece]
    private let remarks: DecodingRemarks
    private var clip: OpaquePointer?
    /// The index of the frame that the open clip gives next.
    private var next = 0
    /// The number of frames, if the end of the clip was reached.
    private var end: Int?

    /// Bytes of the shortest coded picture: a start code and the byte behind it.
    private static let shortestPicture = 4

    /// Opens the clip.
    ///
    /// - Throws: `PixelDataError.inconsistent` if Pixel Data is not in fragments, is too short for Number of Frames, or
    ///   does not hold a clip of this size; `.unsupportedEncoding` if the codec or the colours are not supported, or if
    ///   the libraries for video are not installed.
    init(_ layout: PixelLayout, in data: DataSet, remarks: DecodingRemarks) throws(PixelDataError) {
        self.layout = layout
        self.data = data
        self.remarks = remarks
        guard layout.samples == 3 else {
            throw .unsupportedEncoding(reason: "a video with \(layout.samples) samples per pixel")
        }
        guard let fragments = data.fragments(), fragments.count >= 2 else {
            throw .inconsistent(reason: "Pixel Data has no fragments although its transfer syntax is one of video")
        }
        pieces = fragments.dropFirst().map { range in
            let bytes = data.bytes[range]
            return cvideo_piece(bytes: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), count: bytes.count)
        }
        let bytes = pieces.reduce(0) { $0 + $1.count }
        guard layout.frames <= max(1, bytes / Self.shortestPicture) else {
            throw .inconsistent(reason: "a clip of \(bytes) bytes cannot have \(layout.frames) frames")
        }
        _ = try opened()
    }

    deinit { cvideo_close(clip) }

    /// Decodes one frame, after those between it and the last one.
    ///
    /// - Parameter index: counted from 0, in the order of display.
    /// - Returns: RGB of 8 bits by pixel.
    /// - Throws: `PixelDataError`; `.frame` if the clip ends before the frame.
    func frame(_ index: Int) throws(PixelDataError) -> StoredFrame {
        if index < next { close() }
        var rgb = [UInt8](repeating: 0, count: layout.pixels * 3)
        var damaged: Int32 = 0
        while true {
            if let end, end <= index { throw .frame(number: index + 1, reason: "the clip ends after frame \(end)") }
            let clip = try opened()
            let status = next == index ? cvideo_next(clip, &rgb, &damaged) : cvideo_next(clip, nil, &damaged)
            guard status != CVIDEO_END else {
                end = next
                continue
            }
            next += 1
            guard next > index else { continue }
            guard status == CVIDEO_OK else { throw .frame(number: index + 1, reason: Self.reason(status)) }
            if damaged != 0 { remarks.add("frame \(index + 1) of the clip is damaged: its decoder filled parts in") }
            return StoredFrame(samples: [], photometric: .rgb, bitsStored: 8, highBit: 7, bytes: rgb)
        }
    }

    /// Counts the coded pictures of the clip, and reads its rate, without decoding it.
    ///
    /// - Returns: the number of pictures; frames per second, 0 if the clip does not say it.
    /// - Throws: `PixelDataError` if the clip cannot be opened.
    func facts() throws(PixelDataError) -> (pictures: Int, framesPerSecond: Double) {
        var facts = cvideo_facts()
        let clip = try opened()
        defer { close() }
        let status = cvideo_examine(clip, &facts)
        guard status == CVIDEO_OK else { throw .inconsistent(reason: Self.reason(status)) }
        return (Int(facts.pictures), facts.frames_per_second)
    }

    /// Closes the clip, and gives back the memory of its decoder.
    func close() {
        cvideo_close(clip)
        clip = nil
        next = 0
    }

    private func opened() throws(PixelDataError) -> OpaquePointer? {
        if let clip { return clip }
        let status = cvideo_open(pieces, pieces.count, Int32(layout.rows), Int32(layout.columns), &clip)
        switch status {
        case CVIDEO_OK: return clip
        case CVIDEO_MISSING, CVIDEO_UNSUPPORTED: throw .unsupportedEncoding(reason: Self.reason(status))
        default: throw .inconsistent(reason: Self.reason(status))
        }
    }

    private static func reason(_ status: cvideo_status) -> String {
        switch status {
        case CVIDEO_MISSING:
            "video needs \(String(cString: cvideo_library())) on this machine: install Debian's libavformat"
        case CVIDEO_UNSUPPORTED: "its video is not MPEG-2, H.264 or HEVC of 8 to 12 bits"
        case CVIDEO_OTHER_SIZE: "the frames of its clip do not have its Rows and Columns"
        case CVIDEO_NO_MEMORY: "there is no memory for its clip"
        default: "Pixel Data does not hold a clip of MPEG-2, H.264 or HEVC that can be decoded"
        }
    }
}
