// SPDX-License-Identifier: Apache-2.0

/// A transfer syntax that Kontur decodes: the encoding of a data set and of its pixels.
///
/// - SeeAlso: PS3.5 section 10, PS3.6 table A-1.
public enum TransferSyntax: String, Sendable, Hashable, CaseIterable {
    case implicitVRLittleEndian = "1.2.840.10008.1.2"
    case explicitVRLittleEndian = "1.2.840.10008.1.2.1"
    case encapsulatedUncompressed = "1.2.840.10008.1.2.1.98"
    case deflatedExplicitVRLittleEndian = "1.2.840.10008.1.2.1.99"
    case explicitVRBigEndian = "1.2.840.10008.1.2.2"
    case rleLossless = "1.2.840.10008.1.2.5"
    case deflatedImageFrame = "1.2.840.10008.1.2.8.1"
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
    case jpeg2000Lossless = "1.2.840.10008.1.2.4.90"
    /// Lossy or lossless.
    case jpeg2000 = "1.2.840.10008.1.2.4.91"
    case htj2kLossless = "1.2.840.10008.1.2.4.201"
    case htj2kLosslessRPCL = "1.2.840.10008.1.2.4.202"
    /// Lossy or lossless.
    case htj2k = "1.2.840.10008.1.2.4.203"
    case mpeg2MainLevel = "1.2.840.10008.1.2.4.100"
    case mpeg2MainLevelFragmentable = "1.2.840.10008.1.2.4.100.1"
    case mpeg2HighLevel = "1.2.840.10008.1.2.4.101"
    case mpeg2HighLevelFragmentable = "1.2.840.10008.1.2.4.101.1"
    case h264High41 = "1.2.840.10008.1.2.4.102"
    case h264High41Fragmentable = "1.2.840.10008.1.2.4.102.1"
    case h264BluRay = "1.2.840.10008.1.2.4.103"
    case h264BluRayFragmentable = "1.2.840.10008.1.2.4.103.1"
    case h264High42 = "1.2.840.10008.1.2.4.104"
    case h264High42Fragmentable = "1.2.840.10008.1.2.4.104.1"
    case h264High42For3D = "1.2.840.10008.1.2.4.105"
    case h264High42For3DFragmentable = "1.2.840.10008.1.2.4.105.1"
    case h264Stereo = "1.2.840.10008.1.2.4.106"
    case h264StereoFragmentable = "1.2.840.10008.1.2.4.106.1"
    case hevcMain = "1.2.840.10008.1.2.4.107"
    case hevcMain10 = "1.2.840.10008.1.2.4.108"

    /// Every syntax, in the order of preference for a negotiation: lossless ones first, then those of lossy images, then
    /// those of video.
    public static let decodable: [TransferSyntax] =
        [
            .explicitVRLittleEndian, .implicitVRLittleEndian, .deflatedExplicitVRLittleEndian, .explicitVRBigEndian,
            .encapsulatedUncompressed, .deflatedImageFrame, .jpegLosslessSV1, .jpegLossless, .jpegLSLossless,
            .rleLossless, .jpeg2000Lossless, .htj2kLossless, .htj2kLosslessRPCL, .jpegBaseline, .jpegExtended,
            .jpegLSNearLossless, .jpeg2000, .htj2k, .jpegSpectralSelection, .jpegFullProgression,
        ] + allCases.filter(\.isVideo)

    /// Whether Pixel Data is a sequence of fragments (PS3.5 A.4).
    public var isEncapsulated: Bool {
        switch self {
        case .implicitVRLittleEndian, .explicitVRLittleEndian, .deflatedExplicitVRLittleEndian, .explicitVRBigEndian:
            false
        default: true
        }
    }

    /// Whether Pixel Data is one stream of video, with frames that depend on each other (PS3.5 8.2.5 to 8.2.13).
    public var isVideo: Bool { videoMethod != nil }

    /// Whether each frame is a stream of JPEG or JPEG 2000, which begins with a marker.
    var hasStreamMarkers: Bool {
        switch self {
        case .rleLossless, .deflatedImageFrame, .encapsulatedUncompressed: false
        default: isEncapsulated && !isVideo
        }
    }

    /// Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1) of a syntax that can be lossy; `nil` for the others.
    var lossyMethod: String? {
        switch self {
        case .jpegBaseline, .jpegExtended, .jpegSpectralSelection, .jpegFullProgression: "ISO_10918_1"
        case .jpegLSNearLossless: "ISO_14495_1"
        case .jpeg2000: "ISO_15444_1"
        case .htj2k: "ISO_15444_15"
        default: videoMethod
        }
    }

    private var videoMethod: String? {
        switch self {
        case .mpeg2MainLevel, .mpeg2MainLevelFragmentable, .mpeg2HighLevel, .mpeg2HighLevelFragmentable: "ISO_13818_2"
        case .h264High41, .h264High41Fragmentable, .h264BluRay, .h264BluRayFragmentable, .h264High42,
            .h264High42Fragmentable, .h264High42For3D, .h264High42For3DFragmentable, .h264Stereo,
            .h264StereoFragmentable:
            "ISO_14496_10"
        case .hevcMain, .hevcMain10: "ISO_23008_2"
        default: nil
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
        "1.2.840.10008.1.2.4.100.1": "Fragmentable MPEG2 Main Level",
        "1.2.840.10008.1.2.4.101": "MPEG2 High Level",
        "1.2.840.10008.1.2.4.101.1": "Fragmentable MPEG2 High Level",
        "1.2.840.10008.1.2.4.102": "MPEG-4 AVC/H.264 High Profile",
        "1.2.840.10008.1.2.4.102.1": "Fragmentable MPEG-4 AVC/H.264 High Profile",
        "1.2.840.10008.1.2.4.103": "MPEG-4 AVC/H.264 BD-compatible",
        "1.2.840.10008.1.2.4.103.1": "Fragmentable MPEG-4 AVC/H.264 BD-compatible",
        "1.2.840.10008.1.2.4.104": "MPEG-4 AVC/H.264 High Profile 4.2 for 2D video",
        "1.2.840.10008.1.2.4.104.1": "Fragmentable MPEG-4 AVC/H.264 High Profile 4.2 for 2D video",
        "1.2.840.10008.1.2.4.105": "MPEG-4 AVC/H.264 High Profile 4.2 for 3D video",
        "1.2.840.10008.1.2.4.105.1": "Fragmentable MPEG-4 AVC/H.264 High Profile 4.2 for 3D video",
        "1.2.840.10008.1.2.4.106": "MPEG-4 AVC/H.264 Stereo High Profile",
        "1.2.840.10008.1.2.4.106.1": "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile",
        "1.2.840.10008.1.2.4.107": "HEVC/H.265 Main Profile",
        "1.2.840.10008.1.2.4.108": "HEVC/H.265 Main 10 Profile",
        "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
        "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
        "1.2.840.10008.1.2.4.112": "JPEG XL",
        "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Lossless",
        "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 Lossless RPCL",
        "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
        "1.2.840.10008.1.2.4.204": "JPIP HTJ2K Referenced",
        "1.2.840.10008.1.2.4.205": "JPIP HTJ2K Referenced Deflate",
        "1.2.840.10008.1.2.5": "RLE Lossless",
        "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
    ]
}
