// SPDX-License-Identifier: Apache-2.0

/// The Image Pixel Module (PS3.3 C.7.6.3), checked: its numbers fit each other, and the decoders take them.
struct PixelLayout {
    /// The values of Photometric Interpretation that are decoded.
    enum Photometric: String {
        case monochrome1 = "MONOCHROME1"
        case monochrome2 = "MONOCHROME2"
        case rgb = "RGB"
        case ybrFull = "YBR_FULL"
        case ybrFull422 = "YBR_FULL_422"
        case paletteColor = "PALETTE COLOR"
        /// Of JPEG 2000 only: its codestream turns the samples into RGB.
        case ybrICT = "YBR_ICT"
        /// Of JPEG 2000 only: its codestream turns the samples into RGB.
        case ybrRCT = "YBR_RCT"
        /// Of video only: its decoder turns the samples into RGB.
        case ybrPartial420 = "YBR_PARTIAL_420"

        /// Whether only a codec can turn the samples into RGB.
        var needsCodec: Bool { self == .ybrICT || self == .ybrRCT || self == .ybrPartial420 }

        /// Samples per pixel as stored.
        var samples: Int {
            switch self {
            case .monochrome1, .monochrome2, .paletteColor: 1
            case .rgb, .ybrFull, .ybrFull422, .ybrICT, .ybrRCT, .ybrPartial420: 3
            }
        }
    }

    /// The limit in bytes of the decoded frames of one request, at four bytes per sample.
    static let decodedLimit = 1 << 30

    let rows: Int
    let columns: Int
    private(set) var frames: Int
    let photometric: Photometric
    let bitsAllocated: Int
    let bitsStored: Int
    let highBit: Int
    let isSigned: Bool
    /// Whether all samples of one colour come before those of the next (Planar Configuration 1).
    let isPlanar: Bool

    var samples: Int { photometric.samples }
    var bytesPerSample: Int { bitsAllocated / 8 }
    var pixels: Int { rows * columns }
    /// Channels of the decoded frame: 1 or 3.
    var channels: Int { photometric == .monochrome1 || photometric == .monochrome2 ? 1 : 3 }

    /// The layout of one of the frames alone.
    var singleFrame: PixelLayout {
        var single = self
        single.frames = 1
        return single
    }

    /// Checks the Image Pixel attributes of a header.
    ///
    /// - Throws: `PixelDataError.inconsistent` or `.unsupportedEncoding`.
    init(_ header: InstanceHeader) throws(PixelDataError) {
        guard (1...65_535).contains(header.rows), (1...65_535).contains(header.columns) else {
            throw .inconsistent(reason: "it has \(header.rows) rows and \(header.columns) columns")
        }
        guard let photometric = Photometric(rawValue: header.photometricInterpretation),
            !photometric.needsCodec || TransferSyntax(rawValue: header.transferSyntaxUID)?.hasStreamMarkers == true
                || TransferSyntax(rawValue: header.transferSyntaxUID)?.isVideo == true
        else {
            throw .unsupportedEncoding(reason: Self.unknownPhotometric(header.photometricInterpretation))
        }
        guard header.samplesPerPixel == photometric.samples else {
            throw .inconsistent(
                reason:
                    "\(photometric.rawValue) has \(photometric.samples) samples per pixel, not \(header.samplesPerPixel)"
            )
        }
        guard header.bitsAllocated == 8 || header.bitsAllocated == 16 else {
            throw .unsupportedEncoding(reason: "Bits Allocated is \(header.bitsAllocated), neither 8 nor 16")
        }
        guard (1...header.bitsAllocated).contains(header.bitsStored),
            (header.bitsStored - 1..<header.bitsAllocated).contains(header.highBit)
        else {
            throw .inconsistent(
                reason: "Bits Stored \(header.bitsStored) and High Bit \(header.highBit) do not fit into "
                    + "\(header.bitsAllocated) bits")
        }
        rows = header.rows
        columns = header.columns
        frames = header.numberOfFrames
        self.photometric = photometric
        bitsAllocated = header.bitsAllocated
        bitsStored = header.bitsStored
        highBit = header.highBit
        isSigned = header.isSigned
        isPlanar = header.planarConfiguration == 1 && photometric.samples > 1
    }

    /// Checks that a number of decoded frames stays within the limit.
    ///
    /// - Throws: `PixelDataError.tooLarge`.
    func checkSize(frames count: Int) throws(PixelDataError) {
        let (bytes, overflow) = (pixels * channels * 4).multipliedReportingOverflow(by: count)
        guard !overflow, bytes <= Self.decodedLimit else {
            throw .tooLarge(bytes: overflow ? .max : bytes, limit: Self.decodedLimit)
        }
    }

    private static func unknownPhotometric(_ value: String) -> String {
        // Only words of the standard are repeated: another value may be any text, also a patient's name.
        let known = ["YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB", "HSV", "ARGB", "CMYK"]
        if known.contains(value) { return "Photometric Interpretation is \(value)" }
        return value.isEmpty ? "Photometric Interpretation is missing" : "Photometric Interpretation is not known"
    }
}

/// One frame of stored values before their bits are interpreted: colour by pixel.
struct StoredFrame {
    /// `[rows, columns, samples]`, as allocated: unused bits may have any value.
    var samples: [UInt16]
    /// The interpretation of the samples, which differs from the header's if a codec turned YBR into RGB.
    var photometric: PixelLayout.Photometric
    /// The number of bits that carry the value.
    var bitsStored: Int
    /// The highest of these bits.
    var highBit: Int
    /// RGB of 8 bits, `[rows, columns, 3]`, in the place of `samples`, which are empty then; `nil` otherwise.
    var bytes: [UInt8]?
}
