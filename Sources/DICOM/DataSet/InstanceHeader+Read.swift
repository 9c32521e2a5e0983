// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging

extension InstanceHeader {
    /// Reads the header of a file without decoding its pixels.
    ///
    /// The whole data set is checked (nesting, lengths, encoding) by an iterative reader, and its pixel data hashed in
    /// pieces.
    ///
    /// - Throws: `DataSetError` for anything that is not one well-formed instance with its UIDs.
    public static func read(path: String) throws(DataSetError) -> InstanceHeader {
        try InstanceHeader(DataSet.open(path: path))
    }

    package init(_ data: DataSet) throws(DataSetError) {
        self.init(
            sopClassUID: try Self.uid(.sopClassUID, of: data), sopInstanceUID: try Self.uid(.sopInstanceUID, of: data),
            transferSyntaxUID: data.transferSyntaxUID, studyInstanceUID: try Self.uid(.studyInstanceUID, of: data),
            seriesInstanceUID: try Self.uid(.seriesInstanceUID, of: data))
        guard Self.isUID(data.transferSyntaxUID) else {
            throw .invalidValue(attribute: Attribute.transferSyntaxUID.keyword, reason: "it is not a UID")
        }
        readDescription(of: data)
        try readPixelModule(of: data)
        readPlane(of: data)
        kind = NotAnImage.reason(sopClassUID: sopClassUID, in: data).map { .notAnImage(reason: $0) } ?? .image
        imageDigest = ImageDigest.make(self, of: data)
    }

    private mutating func readDescription(of data: DataSet) {
        namesKontur = Self.namesKontur(data)
        modality = data.string(.modality)?.limited
        bodyPartExamined = data.string(.bodyPartExamined)?.limited
        studyDescription = data.text(.studyDescription)?.limited
        seriesDescription = data.text(.seriesDescription)?.limited
        manufacturer = data.text(.manufacturer)?.limited
        patientID = data.text(.patientID)?.limited
        instanceNumber = data.integer(.instanceNumber)
        imageType = data.strings(.imageType).prefix(16).map(\.limited)
        mrAcquisitionType = data.string(.mrAcquisitionType)?.limited
        echoTime = data.double(.echoTime).flatMap { $0.isFinite ? $0 : nil }
        echoNumbers = Array(data.integers(.echoNumbers).prefix(16))
        temporalPositionIdentifier = data.integer(.temporalPositionIdentifier)
        acquisitionTime = data.string(.acquisitionTime)?.limited
    }

    private mutating func readPixelModule(of data: DataSet) throws(DataSetError) {
        rows = data.integer(.rows) ?? 0
        columns = data.integer(.columns) ?? 0
        if data.string(.numberOfFrames) != nil {
            guard let frames = data.integer(.numberOfFrames), (0...Int(Int32.max)).contains(frames) else {
                throw .invalidValue(attribute: Attribute.numberOfFrames.keyword, reason: "it is not a count")
            }
            numberOfFrames = max(frames, 1)
        }
        samplesPerPixel = data.integer(.samplesPerPixel) ?? 1
        photometricInterpretation = data.string(.photometricInterpretation)?.limited ?? ""
        bitsAllocated = data.integer(.bitsAllocated) ?? 0
        bitsStored = data.integer(.bitsStored) ?? bitsAllocated
        highBit = data.integer(.highBit) ?? max(bitsStored - 1, 0)
        isSigned = data.integer(.pixelRepresentation) == 1
        planarConfiguration = data.integer(.planarConfiguration) ?? 0
    }

    private mutating func readPlane(of data: DataSet) {
        sliceThickness = data.double(.sliceThickness).flatMap { $0.isFinite && $0 > 0 ? $0 : nil }
        spacingBetweenSlices = data.double(.spacingBetweenSlices).flatMap { $0.isFinite && $0 != 0 ? abs($0) : nil }
        frameOfReferenceUID = data.string(.frameOfReferenceUID).flatMap { Self.isUID($0) ? $0 : nil }
        guard data.contains(.imagePositionPatient) || data.contains(.imageOrientationPatient) else { return }
        switch ImagePlane.read(
            position: data.doubles(.imagePositionPatient), orientation: data.doubles(.imageOrientationPatient),
            pixelSpacing: data.doubles(.pixelSpacing))
        {
        case .success(let found): plane = found
        case .failure(let problem): planeProblem = problem.reason
        }
    }

    private static func uid(_ attribute: Attribute, of data: DataSet) throws(DataSetError) -> String {
        guard let value = data.string(attribute) else { throw .missing(attribute: attribute.keyword) }
        guard isUID(value) else {
            throw .invalidValue(attribute: attribute.keyword, reason: "it is not a UID")
        }
        return value
    }

    /// PS3.5 9.1, without its ban on leading zeros, which some devices do not keep.
    static func isUID(_ text: String) -> Bool {
        let digits = text.utf8
        return (1...64).contains(digits.count)
            && digits.allSatisfy { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }
            && digits.first != UInt8(ascii: ".") && digits.last != UInt8(ascii: ".")
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

extension String {
    /// What is kept of a value that should be short and need not be.
    fileprivate var limited: String { String(prefix(1024)) }
}
