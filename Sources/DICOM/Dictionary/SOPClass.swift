// SPDX-License-Identifier: Apache-2.0
//
// The SOP classes that Kontur distinguishes: PS3.4 table B.5-1 (storage), PS3.6 table A-1 (all).

/// A storage SOP class of images that Kontur knows by name, and tables of the other classes.
public struct SOPClass: Sendable, Hashable {
    /// The UID.
    public let uid: String
    /// The keyword of PS3.6, such as `MRImageStorage`: routes name classes by it.
    public let keyword: String
    /// The name of PS3.6, such as `MR Image Storage`.
    public let name: String
    /// The meaning of functional groups in the instances of the class.
    public let functionalGroups: FunctionalGroupUse

    /// The meaning of functional groups (PS3.3 C.7.6.16) in the instances of a class.
    public enum FunctionalGroupUse: Sendable, Hashable {
        /// Frames can be understood without them.
        case optional
        /// They give each frame its place and meaning.
        case required
        /// They give each frame a place or meaning that Kontur does not understand, so its frames are not decoded.
        case unsupported
    }

    private init(
        _ branch: String, _ keyword: String, _ name: String, functionalGroups: FunctionalGroupUse = .optional
    ) {
        uid = Self.storage + branch
        self.keyword = keyword
        self.name = name
        self.functionalGroups = functionalGroups
    }

    /// Verification, which C-ECHO uses.
    public static let verification = "1.2.840.10008.1.1"
    /// Segmentation Storage: the class of a SEG.
    public static let segmentation = storage + "66.4"
    /// Label Map Segmentation Storage (Supplement 243): the class of a label map.
    public static let labelMapSegmentation = storage + "66.7"
    /// Comprehensive SR Storage: the class of a measurement report.
    public static let comprehensiveSR = storage + "88.33"
    /// Multi-frame True Color Secondary Capture Image Storage: the class of pictures with burnt-in contours.
    public static let multiFrameTrueColorSecondaryCapture = storage + "7.4"

    /// Media Storage Directory Storage: the class of a DICOMDIR.
    static let mediaStorageDirectory = "1.2.840.10008.1.3.10"

    /// The branch of storage classes.
    private static let storage = "1.2.840.10008.5.1.4.1.1."

    // MARK: Images

    /// The classes that routes name by keyword or that the decoder refuses by name, in the order of their UIDs.
    public static let images: [SOPClass] = [
        SOPClass("1", "ComputedRadiographyImageStorage", "Computed Radiography Image Storage"),
        SOPClass("2", "CTImageStorage", "CT Image Storage"),
        SOPClass("2.1", "EnhancedCTImageStorage", "Enhanced CT Image Storage", functionalGroups: .unsupported),
        SOPClass(
            "2.2", "LegacyConvertedEnhancedCTImageStorage", "Legacy Converted Enhanced CT Image Storage",
            functionalGroups: .unsupported),
        SOPClass("3.1", "UltrasoundMultiFrameImageStorage", "Ultrasound Multi-frame Image Storage"),
        SOPClass("4", "MRImageStorage", "MR Image Storage"),
        SOPClass("4.1", "EnhancedMRImageStorage", "Enhanced MR Image Storage", functionalGroups: .required),
        SOPClass("4.2", "MRSpectroscopyStorage", "MR Spectroscopy Storage", functionalGroups: .unsupported),
        SOPClass(
            "4.3", "EnhancedMRColorImageStorage", "Enhanced MR Color Image Storage", functionalGroups: .unsupported),
        SOPClass(
            "4.4", "LegacyConvertedEnhancedMRImageStorage", "Legacy Converted Enhanced MR Image Storage",
            functionalGroups: .required),
        SOPClass("6.1", "UltrasoundImageStorage", "Ultrasound Image Storage"),
        SOPClass("6.2", "EnhancedUSVolumeStorage", "Enhanced US Volume Storage", functionalGroups: .unsupported),
        SOPClass("7", "SecondaryCaptureImageStorage", "Secondary Capture Image Storage"),
        SOPClass(
            "7.2", "MultiFrameGrayscaleByteSecondaryCaptureImageStorage",
            "Multi-frame Grayscale Byte Secondary Capture Image Storage"),
        SOPClass(
            "7.3", "MultiFrameGrayscaleWordSecondaryCaptureImageStorage",
            "Multi-frame Grayscale Word Secondary Capture Image Storage"),
        SOPClass(
            "7.4", "MultiFrameTrueColorSecondaryCaptureImageStorage",
            "Multi-frame True Color Secondary Capture Image Storage"),
        SOPClass("12.1.1", "EnhancedXAImageStorage", "Enhanced XA Image Storage", functionalGroups: .unsupported),
        SOPClass("12.2.1", "EnhancedXRFImageStorage", "Enhanced XRF Image Storage", functionalGroups: .unsupported),
        SOPClass(
            "13.1.3", "BreastTomosynthesisImageStorage", "Breast Tomosynthesis Image Storage",
            functionalGroups: .unsupported),
        SOPClass("77.1.1", "VLEndoscopicImageStorage", "VL Endoscopic Image Storage"),
        SOPClass("77.1.1.1", "VideoEndoscopicImageStorage", "Video Endoscopic Image Storage"),
        SOPClass("77.1.4", "VLPhotographicImageStorage", "VL Photographic Image Storage"),
        SOPClass(
            "77.1.6", "VLWholeSlideMicroscopyImageStorage", "VL Whole Slide Microscopy Image Storage",
            functionalGroups: .unsupported),
        SOPClass(
            "128.1", "LegacyConvertedEnhancedPETImageStorage", "Legacy Converted Enhanced PET Image Storage",
            functionalGroups: .unsupported),
        SOPClass("130", "EnhancedPETImageStorage", "Enhanced PET Image Storage", functionalGroups: .unsupported),
    ]

    /// The row of a UID in `images`; `nil` for every other class.
    public static func image(_ uid: String) -> SOPClass? { images.first { $0.uid == uid } }

    /// The name of a class in words for an operator; `SOP class` and the UID for a class without a name here.
    static func name(_ uid: String) -> String {
        let known = [
            segmentation: "Segmentation Storage", labelMapSegmentation: "Label Map Segmentation Storage",
            comprehensiveSR: "Comprehensive SR Storage", verification: "Verification",
        ]
        guard let name = known[uid] ?? image(uid)?.name else { return "SOP class \(uid)" }
        return "\(name) (\(uid))"
    }

    // MARK: Classes without images

    /// The reason why instances of a class do not have an image to segment; `nil` for a class of images or an unknown
    /// class.
    static func reasonNotAnImage(_ uid: String) -> String? {
        notImages.first { uid == $0.uid || uid.hasPrefix($0.uid + ".") }?.reason
    }

    /// SOP classes, or UID prefixes that cover several alike classes.
    ///
    /// If two entries match, the first one counts.
    private static let notImages: [(uid: String, reason: String)] = [
        (segmentation, "it is a Segmentation"),
        (labelMapSegmentation, "it is a Label Map Segmentation"),
        ("1.2.840.10008.5.1.4.1.1.66", "it is raw data, a registration or a surface"),
        ("1.2.840.10008.5.1.4.1.1.67", "it is a Real World Value Mapping"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "it is a Key Object Selection Document"),
        ("1.2.840.10008.5.1.4.1.1.88", "it is a Structured Report"),
        ("1.2.840.10008.5.1.4.1.1.11", "it is a Presentation State"),
        ("1.2.840.10008.5.1.4.1.1.481", "it is a radiotherapy object"),
        ("1.2.840.10008.5.1.4.1.1.104", "it is an encapsulated document"),
        ("1.2.840.10008.5.1.4.1.1.9", "it is a waveform"),
        ("1.2.840.10008.5.1.4.1.1.30", "it is a Parametric Map"),
        ("1.2.840.10008.5.1.4.1.1.78", "it is an ophthalmic measurement"),
        ("1.2.840.10008.5.1.4.1.1.79", "it is an ophthalmic measurement"),
    ]

    // MARK: Services

    /// Whether an abstract syntax is a service that does not store objects.
    ///
    /// Such classes serve query, retrieve, print, worklists, procedure steps, commitment or notification. Every other
    /// class is a storage class, private and unknown ones included.
    package static func isService(_ uid: String) -> Bool {
        guard uid.hasPrefix(standard) else { return false }
        if stored.contains(uid) { return false }
        if services.contains(uid) || serviceBranches.contains(where: { uid.hasPrefix($0) }) { return true }
        // Hanging protocols, colour palettes and implant templates: .1 is stored, .2 to .4 query and retrieve.
        if ["38", "39", "43", "44", "45"].contains(where: { uid.hasPrefix(standard + "5.1.4.\($0).") }) {
            return !uid.hasSuffix(".1")
        }
        return false
    }

    private static let standard = "1.2.840.10008."

    private static let serviceBranches = [
        "1.2.840.10008.1.20.",  // storage commitment
        "1.2.840.10008.3.1.2.",  // procedure steps, patient, visit, study and results management
        "1.2.840.10008.5.1.1.",  // print
        "1.2.840.10008.5.1.4.1.2.",  // query and retrieve
        "1.2.840.10008.5.1.4.32.",  // general purpose worklist
        // Unified procedure step.
        "1.2.840.10008.5.1.4.34.4.", "1.2.840.10008.5.1.4.34.5.", "1.2.840.10008.5.1.4.34.6.",
        "1.2.840.10008.5.1.4.37.",  // relevant patient information
        "1.2.840.10008.10.",  // real-time video
    ]

    /// Stored print and hardcopy images, whose UIDs lie in the branch of print services.
    private static let stored: Set<String> = [
        "1.2.840.10008.5.1.1.27", "1.2.840.10008.5.1.1.29", "1.2.840.10008.5.1.1.30",
    ]

    private static let services: Set<String> = [
        verification,
        "1.2.840.10008.1.9",  // basic study content notification
        "1.2.840.10008.1.40", "1.2.840.10008.1.42",  // event logging
        "1.2.840.10008.5.1.4.31",  // modality worklist
        "1.2.840.10008.5.1.4.33",  // instance availability notification
        "1.2.840.10008.5.1.4.34.8", "1.2.840.10008.5.1.4.34.9",  // radiotherapy machine verification
        "1.2.840.10008.5.1.4.41", "1.2.840.10008.5.1.4.42",  // product and substance queries
        "1.2.840.10008.5.1.4.1.1.200.4", "1.2.840.10008.5.1.4.1.1.200.5", "1.2.840.10008.5.1.4.1.1.200.6",
        "1.2.840.10008.5.1.4.1.1.201.2", "1.2.840.10008.5.1.4.1.1.201.3", "1.2.840.10008.5.1.4.1.1.201.4",
        "1.2.840.10008.5.1.4.1.1.201.5", "1.2.840.10008.5.1.4.1.1.201.6",  // protocol and inventory services
    ]
}
