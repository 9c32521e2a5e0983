// SPDX-License-Identifier: Apache-2.0

/// A transfer syntax that Kontur decodes: the encoding of a data set and of its pixels.
///
/// - SeeAlso: PS3.5 section 10, PS3.6 table A-1.
public enum TransferSyntax: String, Sendable, Hashable, CaseIterable {
    case implicitVRLittleEndian = "1.2.840.10008.1.2"
    case explicitVRLittleEndian = "1.2.840.10008.1.2.1"
    case deflatedExplicitVRLittleEndian = "1.2.840.10008.1.2.1.99"
    case explicitVRBigEndian = "1.2.840.10008.1.2.2"
    case rleLossless = "1.2.840.10008.1.2.5"
    case jpegBaseline = "1.2.840.10008.1.2.4.50"
    case jpegExtended = "1.2.840.10008.1.2.4.51"
    /// Process 6 & 8, retired.
    case jpegSpectralSelection = "1.2.840.10008.1.2.4.53"
    /// Process 10 & 12, retired.
    case jpegFullProgression = "1.2.840.10008.1.2.4.55"
    case jpegLossless = "1.2.840.10008.1.2.4.57"
    case jpegLosslessSV1 = "1.2.840.10008.1.2.4.70"
    case jpegLSLossless = "1.2.840.10008.1.2.4.80"
    case jpegLSNearLossless = "1.2.840.10008.1.2.4.81"

    /// Every syntax, in the order of preference for a negotiation.
    public static let decodable: [TransferSyntax] = [
        .explicitVRLittleEndian, .implicitVRLittleEndian, .deflatedExplicitVRLittleEndian, .explicitVRBigEndian,
        .jpegLosslessSV1, .jpegLossless, .jpegLSLossless, .rleLossless, .jpegBaseline, .jpegExtended,
        .jpegLSNearLossless, .jpegSpectralSelection, .jpegFullProgression,
    ]

    /// Whether Pixel Data is a sequence of fragments (PS3.5 A.4).
    public var isEncapsulated: Bool {
        switch self {
        case .implicitVRLittleEndian, .explicitVRLittleEndian, .deflatedExplicitVRLittleEndian, .explicitVRBigEndian:
            false
        default: true
        }
    }

    /// Whether the data set after File Meta Information is deflated (PS3.5 A.5), for any transfer syntax.
    static func isDeflated(_ uid: String) -> Bool {
        uid == deflatedExplicitVRLittleEndian.rawValue || uid == jpipReferencedDeflate
    }

    /// Syntaxes of JPIP: their pixels lie behind a URL that Kontur does not follow.
    package static let pixelsElsewhere: Set<String> = [
        "1.2.840.10008.1.2.4.94", jpipReferencedDeflate, "1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205",
    ]

    private static let jpipReferencedDeflate = "1.2.840.10008.1.2.4.95"

    /// The name and UID of any transfer syntax, for messages; the UID alone if the name is unknown.
    public static func name(of uid: String) -> String {
        guard let name = names[uid] else { return uid }
        return "\(name) (\(uid))"
    }

    private static let names: [String: String] = [
        "1.2.840.10008.1.2": "Implicit VR Little Endian",
        "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
        "1.2.840.10008.1.2.1.98": "Encapsulated Uncompressed Explicit VR Little Endian",
        "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
        "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
        "1.2.840.10008.1.2.4.50": "JPEG Baseline",
        "1.2.840.10008.1.2.4.51": "JPEG Extended",
        "1.2.840.10008.1.2.4.53": "JPEG Spectral Selection",
        "1.2.840.10008.1.2.4.55": "JPEG Full Progression",
        "1.2.840.10008.1.2.4.57": "JPEG Lossless",
        "1.2.840.10008.1.2.4.70": "JPEG Lossless SV1",
        "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
        "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
        "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
        "1.2.840.10008.1.2.4.91": "JPEG 2000",
        "1.2.840.10008.1.2.4.92": "JPEG 2000 Multi-component Lossless",
        "1.2.840.10008.1.2.4.93": "JPEG 2000 Multi-component",
        "1.2.840.10008.1.2.4.94": "JPIP Referenced",
        jpipReferencedDeflate: "JPIP Referenced Deflate",
        "1.2.840.10008.1.2.4.100": "MPEG2 Main Level",
        "1.2.840.10008.1.2.4.101": "MPEG2 High Level",
        "1.2.840.10008.1.2.4.102": "MPEG-4 AVC/H.264 High Profile",
        "1.2.840.10008.1.2.4.103": "MPEG-4 AVC/H.264 BD-compatible",
        "1.2.840.10008.1.2.4.107": "HEVC/H.265 Main Profile",
        "1.2.840.10008.1.2.4.108": "HEVC/H.265 Main 10 Profile",
        "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
        "1.2.840.10008.1.2.4.112": "JPEG XL",
        "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Lossless",
        "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 Lossless RPCL",
        "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
        "1.2.840.10008.1.2.5": "RLE Lossless",
    ]
}
