// SPDX-License-Identifier: Apache-2.0

/// The Image Pixel Module (PS3.3 C.7.6.3), checked: its numbers fit each other, and the decoders take them.
///
/// Three contradictions leave no doubt about the pixels and are mended: a Photometric Interpretation in another spelling
/// or for another number of samples, and a High Bit that does not fit Bits Stored.
struct PixelLayout {
    /// The values of Photometric Interpretation that are decoded.
    enum Photometric: String, CaseIterable {
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

        /// Finds a value whatever its case, spaces and underscores are.
        init?(spelled text: String) {
            let key = Self.key(text)
            guard let found = Self.allCases.first(where: { Self.key($0.rawValue) == key }) else { return nil }
            self = found
        }

        static func key(_ text: String) -> String { text.uppercased().filter { $0 != " " && $0 != "_" } }
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
    /// The contradiction that was mended, in words for the record; `nil` if there is none.
    let remark: String?

    var samples: Int { photometric.samples }
    /// Bytes of a sample; 0 if a sample is one bit.
    var bytesPerSample: Int { bitsAllocated / 8 }
    var pixels: Int { rows * columns }

    /// Bytes of uncompressed frames, without subsampling.
    ///
    /// - Throws: `PixelDataError.tooLarge` if the number does not fit.
    func bytes(frames count: Int) throws(PixelDataError) -> Int {
        let (bits, overflow) = (pixels * samples * bitsAllocated).multipliedReportingOverflow(by: count)
        guard !overflow, bits < Int.max - 8 else { throw .tooLarge(bytes: .max, limit: Self.decodedLimit) }
        return (bits + 7) / 8
    }

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
        guard let declared = Photometric(spelled: header.photometricInterpretation),
            !declared.needsCodec || TransferSyntax(rawValue: header.transferSyntaxUID)?.hasStreamMarkers == true
                || TransferSyntax(rawValue: header.transferSyntaxUID)?.isVideo == true
        else {
            throw .unsupportedEncoding(reason: Self.unknownPhotometric(header.photometricInterpretation))
        }
        let photometric = try Self.photometric(declared, samples: header.samplesPerPixel)
        guard [1, 8, 16, 32].contains(header.bitsAllocated) else {
            throw .unsupportedEncoding(
                reason: "Bits Allocated is \(header.bitsAllocated), and Kontur decodes 1, 8, 16 and 32")
        }
        guard (1...header.bitsAllocated).contains(header.bitsStored) else {
            throw .inconsistent(
                reason: "Bits Stored is \(header.bitsStored), and Bits Allocated \(header.bitsAllocated)")
        }
        rows = header.rows
        columns = header.columns
        frames = header.numberOfFrames
        self.photometric = photometric
        bitsAllocated = header.bitsAllocated
        bitsStored = header.bitsStored
        let isHighBitUsable = (header.bitsStored - 1..<header.bitsAllocated).contains(header.highBit)
        highBit = isHighBitUsable ? header.highBit : header.bitsStored - 1
        isSigned = header.isSigned
        isPlanar = header.planarConfiguration == 1 && photometric.samples > 1
        remark =
            if photometric != declared {
                "Photometric Interpretation is \(declared.rawValue) and Samples per Pixel \(header.samplesPerPixel); "
                    + "read as \(photometric.rawValue)"
            } else if !isHighBitUsable {
                "High Bit is \(header.highBit) and Bits Stored \(header.bitsStored); read from bit \(highBit) down"
            } else {
                nil
            }
    }

    /// The interpretation that fits the number of samples.
    private static func photometric(_ declared: Photometric, samples: Int) throws(PixelDataError) -> Photometric {
        switch samples {
        case declared.samples: return declared
        case 1: return .monochrome2
        case 3: return .rgb
        default:
            throw .inconsistent(
                reason: "\(declared.rawValue) has \(declared.samples) samples per pixel, not \(samples)")
        }
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
        if let word = known.first(where: { Photometric.key($0) == Photometric.key(value) }) {
            return "Photometric Interpretation is \(word)"
        }
        return value.isEmpty ? "Photometric Interpretation is missing" : "Photometric Interpretation is not known"
    }
}

/// One frame of stored values before their bits are interpreted: colour by pixel.
struct StoredFrame {
    /// `[rows, columns, samples]`, as allocated: unused bits may have any value.
    var samples: [UInt16]
    /// Samples of more than 16 bits, in place of `samples`; empty for others.
    var wide: [UInt32] = []
    /// The interpretation of the samples, which differs from the header's if a codec turned YBR into RGB.
    var photometric: PixelLayout.Photometric
    /// The number of bits that carry the value.
    var bitsStored: Int
    /// The highest of these bits.
    var highBit: Int
    /// RGB of 8 bits, `[rows, columns, 3]`, in the place of `samples`, which are empty then; `nil` otherwise.
    var bytes: [UInt8]?
}
