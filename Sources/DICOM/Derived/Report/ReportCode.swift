// SPDX-License-Identifier: Apache-2.0
//
// The codes of a measurement report: the templates of PS3.16 annex A name those of DCM and SCT. The scheme 99KONTUR has
// the concepts that no scheme of PS3.16 has.

import Imaging

/// The codes of a measurement report.
enum ReportCode {
    /// The designator of Kontur's own scheme: PS3.16 8.2 leaves those that begin with 99 to implementations.
    static let scheme = "99KONTUR"

    // MARK: The tree (TID 1500, 1204, 1002, 1004, 1600, 1602)

    static let imagingMeasurementReport = CodedConcept("126000", "DCM", "Imaging Measurement Report")
    static let language = CodedConcept("121049", "DCM", "Language of Content Item and Descendants")
    static let english = CodedConcept("en", "RFC5646", "English")
    static let observerType = CodedConcept("121005", "DCM", "Observer Type")
    static let device = CodedConcept("121007", "DCM", "Device")
    static let deviceObserverUID = CodedConcept("121012", "DCM", "Device Observer UID")
    static let deviceObserverName = CodedConcept("121013", "DCM", "Device Observer Name")
    static let deviceObserverManufacturer = CodedConcept("121014", "DCM", "Device Observer Manufacturer")
    static let deviceObserverModelName = CodedConcept("121015", "DCM", "Device Observer Model Name")
    static let procedureReported = CodedConcept("121058", "DCM", "Procedure reported")
    static let imagingProcedure = CodedConcept("363679005", "SCT", "Imaging procedure")
    static let imageLibrary = CodedConcept("111028", "DCM", "Image Library")
    static let imageLibraryGroup = CodedConcept("126200", "DCM", "Image Library Group")
    static let modality = CodedConcept("121139", "DCM", "Modality")
    static let source = CodedConcept("260753009", "SCT", "Source")
    static let imagingMeasurements = CodedConcept("126010", "DCM", "Imaging Measurements")
    static let measurementGroup = CodedConcept("125007", "DCM", "Measurement Group")

    // MARK: A measurement group (TID 1410, 1411, 1501, 4019, 4108)

    static let trackingIdentifier = CodedConcept("112039", "DCM", "Tracking Identifier")
    static let trackingUID = CodedConcept("112040", "DCM", "Tracking Unique Identifier")
    static let findingCategory = CodedConcept("276214006", "SCT", "Finding category")
    static let finding = CodedConcept("121071", "DCM", "Finding")
    static let findingSite = CodedConcept("363698007", "SCT", "Finding Site")
    static let algorithmName = CodedConcept("111001", "DCM", "Algorithm Name")
    static let algorithmVersion = CodedConcept("111003", "DCM", "Algorithm Version")
    static let algorithmManufacturer = CodedConcept("122405", "DCM", "Algorithm Manufacturer")
    static let algorithmParameters = CodedConcept("111002", "DCM", "Algorithm Parameters")
    static let algorithmFamily = CodedConcept("111000", "DCM", "Algorithm Family")
    static let referencedSegment = CodedConcept("121191", "DCM", "Referenced Segment")
    static let referencedSegmentationFrame = CodedConcept("121214", "DCM", "Referenced Segmentation Frame")
    static let sourceImageForSegmentation = CodedConcept("121233", "DCM", "Source Image for Segmentation")
    static let sourceSeriesForSegmentation = CodedConcept("121232", "DCM", "Source Series for Segmentation")
    static let sourceOfMeasurement = CodedConcept("121112", "DCM", "Source of Measurement")
    static let comment = CodedConcept("121106", "DCM", "Comment")
    static let presence = CodedConcept("705057003", "SCT", "Presence")
    static let present = CodedConcept("52101004", "SCT", "Present")
    static let absent = CodedConcept("2667000", "SCT", "Absent")

    // MARK: Measurements (TID 1419, CID 7469 to 7472)

    static let volume = CodedConcept("118565006", "SCT", "Volume")
    static let area = CodedConcept("42798000", "SCT", "Area")
    /// The longest distance in three dimensions.
    static let diameter = CodedConcept("81827009", "SCT", "Diameter")
    /// The longest distance within one frame.
    static let longAxis = CodedConcept("103339001", "SCT", "Long Axis")
    static let boundingBox = CodedConcept("boundingBox", scheme, "Bounding box")
    static let boxWidth = CodedConcept("boxWidth", scheme, "Width of the bounding box")
    static let boxHeight = CodedConcept("boxHeight", scheme, "Height of the bounding box")
    static let confidence = CodedConcept("confidence", scheme, "Confidence")

    static let method = CodedConcept("370129005", "SCT", "Measurement Method")
    static let sumOfVoxels = CodedConcept("126030", "DCM", "Sum of segmented voxel volumes")
    static let statedBySegmenter = CodedConcept("segmenter", scheme, "Stated by the segmenter")
    static let betweenVoxels = CodedConcept("voxelCentres", scheme, "Longest distance between voxel centers")
    static let betweenPixels = CodedConcept(
        "pixelCentres", scheme, "Longest distance between pixel centers of a frame")

    // MARK: Units (UCUM)

    static let millilitre = CodedConcept("ml", "UCUM", "milliliter")
    static let millimetre = CodedConcept("mm", "UCUM", "millimeter")
    static let squareMillimetre = CodedConcept("mm2", "UCUM", "square millimeter")
    static let pixels = CodedConcept("{pixels}", "UCUM", "pixels")
    static let noUnits = CodedConcept("1", "UCUM", "no units")

    /// The code of the modality that makes images of a class (PS3.16 CID 29).
    static func modality(ofClass sopClassUID: String) -> CodedConcept {
        let keyword = SOPClass.image(sopClassUID)?.keyword ?? ""
        let rows: [(String, CodedConcept)] = [
            ("MR", CodedConcept("MR", "DCM", "Magnetic Resonance")),
            ("CT", CodedConcept("CT", "DCM", "Computed Tomography")),
            ("Ultrasound", CodedConcept("US", "DCM", "Ultrasound")),
            ("Endoscopic", CodedConcept("ES", "DCM", "Endoscopy")),
            ("Photographic", CodedConcept("XC", "DCM", "External-camera Photography")),
            ("ComputedRadiography", CodedConcept("CR", "DCM", "Computed Radiography")),
        ]
        return rows.first { keyword.contains($0.0) }?.1 ?? CodedConcept("OT", "DCM", "Other Modality")
    }
}
