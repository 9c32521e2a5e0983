// SPDX-License-Identifier: Apache-2.0
//
// Reads the attributes of a data set into a header, and the Image Plane Module into a plane (PS3.3 C.7.6.2).

import Foundation
import Imaging

extension InstanceHeader {
    /// Reads the header of a data set; pixel data is not touched.
    ///
    /// - Throws: `DataSetError.missing` or `.invalidValue` if one of the UIDs, Number of Frames or a number of the Image
    ///   Pixel Module is not usable; `.mediaDirectory` for a DICOMDIR.
    init(_ data: DataSet) throws(DataSetError) {
        guard !data.isMediaDirectory else { throw .mediaDirectory }
        self.init(
            sopClassUID: try Self.uid(.sopClassUID, of: data, else: data.meta.sopClassUID),
            sopInstanceUID: try Self.uid(.sopInstanceUID, of: data, else: data.meta.sopInstanceUID),
            transferSyntaxUID: data.transferSyntaxUID, studyInstanceUID: try Self.uid(.studyInstanceUID, of: data),
            seriesInstanceUID: try Self.uid(.seriesInstanceUID, of: data))
        guard UID(data.transferSyntaxUID) != nil else { throw .notUID(.transferSyntaxUID) }
        readDescription(of: data)
        try readPixelModule(of: data)
        readPlane(of: data)
        if numberOfFrames > 1 || plane == nil { readFunctionalGroups(of: data) }
        kind = Self.reasonNotAnImage(sopClassUID, in: data).map { .notAnImage(reason: $0) } ?? .image
    }

    private static func reasonNotAnImage(_ sopClassUID: String, in data: DataSet) -> String? {
        if let reason = SOPClass.reasonNotAnImage(sopClassUID) { return reason }
        if data.contains(.pixelData) { return nil }
        let name = SOPClass.image(sopClassUID).flatMap { $0.functionalGroups == .unsupported ? $0.name : nil }
        let suffix = name.map { " (\($0))" } ?? ""
        return data.contains(.floatPixelData) || data.contains(.doubleFloatPixelData)
            ? "its pixels are floating-point numbers" : "it has no Pixel Data\(suffix)"
    }

    private mutating func readDescription(of data: DataSet) {
        namesKontur = Self.namesKontur(data)
        modality = data.string(.modality)?.limited
        bodyPartExamined = data.string(.bodyPartExamined)?.limited
        studyDescription = data.text(.studyDescription)?.limited
        seriesDescription = data.text(.seriesDescription)?.limited
        manufacturer = data.text(.manufacturer)?.limited
        patientID = data.text(.patientID)?.limited
        seriesNumber = data.integer(.seriesNumber)
        acquisitionNumber = data.integer(.acquisitionNumber)
        instanceNumber = data.integer(.instanceNumber)
        imageType = data.strings(.imageType).prefix(16).map(\.limited)
        mrAcquisitionType = data.string(.mrAcquisitionType)?.limited
        echoTime = data.double(.echoTime).flatMap { $0.isFinite ? $0 : nil }
        inversionTime = data.double(.inversionTime).flatMap { $0.isFinite ? $0 : nil }
        triggerTime = data.double(.triggerTime).flatMap { $0.isFinite ? $0 : nil }
        cardiacPhasePercentage = data.double(.nominalPercentageOfCardiacPhase).flatMap { $0.isFinite ? $0 : nil }
        echoNumbers = Array(data.integers(.echoNumbers).prefix(16))
        temporalPositionIdentifier = data.integer(.temporalPositionIdentifier)
        acquisitionTime = data.string(.acquisitionTime)?.limited
    }

    private mutating func readPixelModule(of data: DataSet) throws(DataSetError) {
        rows = try Self.short(.rows, of: data) ?? 0
        columns = try Self.short(.columns, of: data) ?? 0
        samplesPerPixel = try Self.short(.samplesPerPixel, of: data) ?? 1
        photometricInterpretation = data.string(.photometricInterpretation)?.limited ?? ""
        bitsAllocated = try Self.short(.bitsAllocated, of: data) ?? 0
        bitsStored = try Self.short(.bitsStored, of: data) ?? bitsAllocated
        highBit = try Self.short(.highBit, of: data) ?? max(bitsStored - 1, 0)
        isSigned = try Self.short(.pixelRepresentation, of: data) == 1
        planarConfiguration = try Self.short(.planarConfiguration, of: data) ?? 0
        numberOfFrames = max(1, try Self.declaredFrames(of: data) ?? framesHeld(by: data))
        framesPerSecond = FrameTiming.declaredRate(data)
    }

    /// Number of Frames; `nil` if it is absent or empty.
    private static func declaredFrames(of data: DataSet) throws(DataSetError) -> Int? {
        guard data.hasValue(.numberOfFrames) else { return nil }
        guard let frames = data.integer(.numberOfFrames), (0...Int(Int32.max)).contains(frames) else {
            throw .invalidValue(attribute: Attribute.numberOfFrames.keyword, reason: "it is not a count")
        }
        return frames
    }

    /// The number of whole frames in uncompressed Pixel Data, for an image without Number of Frames.
    private func framesHeld(by data: DataSet) -> Int {
        guard let element = data.element(.pixelData), data.fragments() == nil,
            let layout = try? PixelLayout(self), layout.bitsAllocated >= 8
        else { return 1 }
        let frame = layout.pixels * layout.samples * layout.bytesPerSample
        let size = layout.photometric == .ybrFull422 ? frame / 3 * 2 : frame
        // Each frame may have been padded to an even number of bytes.
        return element.length % size < size / layout.rows ? element.length / size : 1
    }

    /// A whole number of the Image Pixel Module, 0...65,535; `nil` if it is absent or empty.
    ///
    /// The VR in the file may differ from US, so the value may be any number or no number at all.
    private static func short(_ attribute: Attribute, of data: DataSet) throws(DataSetError) -> Int? {
        let value = data.integer(attribute)
        guard value != nil || data.hasValue(attribute) else { return nil }
        guard let value, (0...65_535).contains(value) else {
            throw .invalidValue(attribute: attribute.keyword, reason: "it is not a number of 16 bits")
        }
        return value
    }

    private mutating func readPlane(of data: DataSet) {
        sliceThickness = data.double(.sliceThickness).flatMap { $0.isFinite && $0 > 0 ? $0 : nil }
        spacingBetweenSlices = data.double(.spacingBetweenSlices).flatMap { $0.isFinite && $0 != 0 ? abs($0) : nil }
        frameOfReferenceUID = data.string(.frameOfReferenceUID).flatMap { UID($0)?.text }
        guard data.hasValue(.imagePositionPatient) || data.hasValue(.imageOrientationPatient) else { return }
        switch ImagePlane.read(
            position: data.doubles(.imagePositionPatient), orientation: data.doubles(.imageOrientationPatient),
            pixelSpacing: data.doubles(.pixelSpacing))
        {
        case .success(let found): plane = found
        case .failure(let problem): planeProblem = problem.reason
        }
    }

    /// The UID of the data set, or else the value of the File Meta Information.
    private static func uid(
        _ attribute: Attribute, of data: DataSet, else other: String? = nil
    ) throws(DataSetError) -> String {
        guard let value = data.string(attribute) ?? other else { throw .missing(attribute: attribute.keyword) }
        guard let uid = UID(value) else { throw .notUID(attribute) }
        return uid.text
    }

    private static func namesKontur(_ data: DataSet) -> Bool {
        let makers =
            [data.string(.manufacturer)]
            + data.items(.contributingEquipmentSequence).flatMap {
                [data.string(.manufacturer, in: $0), data.string(.manufacturerModelName, in: $0)]
            }
        return makers.contains { $0?.uppercased() == "KONTUR" }
    }
}

extension DataSet {
    /// Whether this is a DICOMDIR: PS3.3 F.3.2.2.
    fileprivate var isMediaDirectory: Bool {
        contains(.directoryRecordSequence) || meta.sopClassUID == SOPClass.mediaStorageDirectory
    }
}

extension String {
    /// The first 1,024 characters: values should be short, but a sender may write any text.
    var limited: String { String(prefix(1024)) }
}

/// The Image Plane Module and the plane macros of functional groups (PS3.3 C.7.6.2, C.7.6.16.2).
enum ImagePlane {
    /// The reason why attributes do not make a plane.
    struct Problem: Error, Hashable {
        var reason: String
    }

    /// The deviation from unit length, or from perpendicularity, that rounding can explain.
    private static let directionTolerance = 1e-3
    /// Largest coordinate, mm.
    private static let positionLimit = 1e6
    /// Largest pixel spacing, mm.
    private static let spacingLimit = 1e3

    /// Checks the numbers of a plane and makes its directions unit vectors.
    ///
    /// - Parameters:
    ///   - position: Image Position (Patient), mm.
    ///   - orientation: Image Orientation (Patient): the direction of a row, then that of a column.
    ///   - pixelSpacing: the distance between rows, then that between columns, mm.
    /// - Returns: the plane, or the first problem.
    static func read(
        position: [Double], orientation: [Double], pixelSpacing: [Double]
    ) -> Result<PlaneGeometry, Problem> {
        guard let origin = Vector3(position), origin.components.allSatisfy({ abs($0) <= positionLimit }) else {
            return .failure(Problem(reason: "Image Position (Patient) is not three usable numbers"))
        }
        guard orientation.count == 6, let row = Vector3(orientation[..<3]), let column = Vector3(orientation[3...])
        else { return .failure(Problem(reason: "Image Orientation (Patient) is not six usable numbers")) }
        guard abs(row.length - 1) <= directionTolerance, abs(column.length - 1) <= directionTolerance else {
            return .failure(
                Problem(reason: "Image Orientation (Patient) is not made of unit vectors, within 0.001"))
        }
        guard abs(row.dot(column)) <= directionTolerance else {
            return .failure(
                Problem(reason: "the directions of Image Orientation (Patient) are not perpendicular, within 0.001"))
        }
        guard pixelSpacing.count == 2, pixelSpacing.allSatisfy({ $0.isFinite && $0 > 0 && $0 <= spacingLimit }) else {
            return .failure(Problem(reason: "Pixel Spacing is not two usable numbers"))
        }
        return .success(
            PlaneGeometry(
                position: origin, rowDirection: row * (1 / row.length), columnDirection: column * (1 / column.length),
                rowSpacing: pixelSpacing[0], columnSpacing: pixelSpacing[1]))
    }
}
