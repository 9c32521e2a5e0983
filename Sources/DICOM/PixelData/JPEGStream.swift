// SPDX-License-Identifier: Apache-2.0
//
// The markers of a JPEG or JPEG-LS frame: ISO/IEC 10918-1 Annex B, ISO/IEC 14495-1 Annex C. They are checked before
// DCMTK decodes the frame: DCMTK 3.6.7 can loop for ever on invalid markers, and trusts the size in the frame header.

/// The properties of a JPEG or JPEG-LS stream, from its markers.
package struct JPEGStream: Hashable {
    /// The reason why bytes are not a stream that can be decoded.
    package struct Failure: Error, Hashable {
        var reason: String
        /// Whether the bytes are damaged; `false` for a process that is not supported.
        var isDamage = true
    }

    /// The coding process that the start-of-frame marker names.
    package enum Process: Hashable {
        case baseline, extended, progressive, lossless, jpegLS
    }

    /// How the frame is coded.
    package var process: Process
    /// Bits per sample.
    package var precision: Int
    /// Rows in the frame header.
    package var rows: Int
    /// Columns in the frame header.
    package var columns: Int
    /// The identifiers of the components, in their order.
    var componentIdentifiers: [UInt8]
    /// Whether the stream has a JFIF marker, which means that its colours are YCbCr.
    var hasJFIF: Bool
    /// Colour transform of Adobe's APP14: 0 for none, 1 for YCbCr; `nil` without that marker.
    var adobeTransform: Int?
    /// Bytes from the start that belong to valid segments and scans.
    package var usable: Int
    /// Whether the bytes end, or stop to make sense, after a scan and before the end of image.
    package var isCutOff: Bool

    /// Whether three components are YCbCr: the stream's own markers decide, then Photometric Interpretation.
    func isYBR(declared: PixelLayout.Photometric) -> Bool {
        guard componentIdentifiers.count == 3 else { return false }
        guard process != .lossless, process != .jpegLS else { return declared != .rgb }
        if let adobeTransform { return adobeTransform != 0 }
        if componentIdentifiers.elementsEqual("RGB".utf8) { return false }
        return hasJFIF || declared != .rgb
    }

    /// Reads all markers up to the end of image, or up to the first that is invalid or missing behind a scan.
    ///
    /// - Throws: `Failure` if a marker before the first scan is invalid or missing, or if a process is not supported.
    package static func read(_ bytes: [UInt8]) throws(Failure) -> JPEGStream {
        var walker = Walker(bytes: bytes)
        return try walker.run()
    }

    private struct Walker {
        let bytes: [UInt8]
        var next = 2
        var stream: JPEGStream?
        var hasJFIF = false
        var adobeTransform: Int?
        var scans = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func run() throws(Failure) -> JPEGStream {
            guard bytes.count >= 4, bytes[0] == 0xFF, bytes[1] == 0xD8 else {
                throw Failure(reason: "it does not begin as a JPEG stream")
            }
            var usable = next
            var isCutOff = false
            do throws(Failure) {
                while true {
                    let marker = try readMarker()
                    if marker == 0xD9 { break }
                    try readSegment(marker)
                    usable = next
                }
                usable = next
            } catch {
                guard scans > 0, error.isDamage else { throw error }
                isCutOff = true
            }
            guard var stream, scans > 0 else {
                throw Failure(reason: "the JPEG stream does not have a frame and a scan")
            }
            stream.hasJFIF = hasJFIF
            stream.adobeTransform = adobeTransform
            stream.usable = usable
            stream.isCutOff = isCutOff
            return stream
        }

        private mutating func readMarker() throws(Failure) -> UInt8 {
            guard next + 1 < bytes.count, bytes[next] == 0xFF else {
                throw Failure(
                    reason: next + 1 < bytes.count ? "a JPEG marker is missing" : "the JPEG stream is truncated")
            }
            // Any number of fill bytes may come before a marker.
            while next + 1 < bytes.count, bytes[next + 1] == 0xFF { next += 1 }
            guard next + 1 < bytes.count else { throw Failure(reason: "the JPEG stream is truncated") }
            let marker = bytes[next + 1]
            next += 2
            guard marker >= 0xC0 else { throw Failure(reason: "a JPEG marker is not known") }
            return marker
        }

        private mutating func readSegment(_ marker: UInt8) throws(Failure) {
            guard marker != 0xD8, !(0xD0...0xD7).contains(marker) else {
                throw Failure(reason: "a JPEG marker is out of place")
            }
            guard next + 2 <= bytes.count else { throw Failure(reason: "the JPEG stream is truncated") }
            let length = Int(bytes[next]) << 8 | Int(bytes[next + 1])
            guard length >= 2, length <= bytes.count - next else {
                throw Failure(reason: "a JPEG segment is longer than the rest of the stream")
            }
            let content = bytes[next + 2..<next + length]
            next += length
            switch marker {
            case 0xC0, 0xC1, 0xC2, 0xC3, 0xF7: try readFrame(marker, content)
            case 0xC5...0xC7, 0xC9...0xCB, 0xCD...0xCF:
                throw Failure(reason: "its JPEG process is not supported", isDamage: false)
            case 0xDA:
                guard stream != nil else { throw Failure(reason: "a JPEG scan comes before its frame") }
                scans += 1
                skipScan()
            case 0xE0: hasJFIF = hasJFIF || content.starts(with: Array("JFIF\0".utf8))
            case 0xEE:
                if content.count >= 12, content.starts(with: Array("Adobe".utf8)) {
                    adobeTransform = Int(content[content.startIndex + 11])
                }
            default: break
            }
        }

        private mutating func readFrame(_ marker: UInt8, _ content: ArraySlice<UInt8>) throws(Failure) {
            guard stream == nil else { throw Failure(reason: "the JPEG stream has more than one frame") }
            let c = Array(content)
            guard c.count >= 6, c.count == 6 + 3 * Int(c[5]) else {
                throw Failure(reason: "the JPEG frame header has a wrong length")
            }
            stream = JPEGStream(
                process: process(marker), precision: Int(c[0]), rows: Int(c[1]) << 8 | Int(c[2]),
                columns: Int(c[3]) << 8 | Int(c[4]),
                componentIdentifiers: (0..<Int(c[5])).map { c[6 + 3 * $0] }, hasJFIF: false, adobeTransform: nil,
                usable: 0, isCutOff: false)
        }

        private func process(_ marker: UInt8) -> Process {
            switch marker {
            case 0xC0: .baseline
            case 0xC1: .extended
            case 0xC2: .progressive
            case 0xC3: .lossless
            default: .jpegLS
            }
        }

        /// Goes to the marker that ends the entropy-coded data.
        ///
        /// In JPEG, FF 00 and restart markers are data. In JPEG-LS, FF and a byte below 80 are data.
        private mutating func skipScan() {
            let isLS = stream?.process == .jpegLS
            while next + 1 < bytes.count {
                if bytes[next] == 0xFF {
                    let follower = bytes[next + 1]
                    let isData = follower == 0 || (0xD0...0xD7).contains(follower) || isLS && follower < 0x80
                    if !isData && follower != 0xFF { return }
                }
                next += 1
            }
            next = bytes.count
        }
    }
}
