// SPDX-License-Identifier: Apache-2.0

import Imaging
import Platform

/// One SOP instance in a file, opened once: its data set is mapped and checked, its header read.
///
/// Frames, digest and attributes are read from the open file. A deflated data set is the exception: it is inflated anew
/// for each use, so that a stack of deflated instances does not fill the memory, unless the caller keeps it. Not `Sendable`: a file belongs to the
/// thread that opened it.
public final class InstanceFile {
    /// The attributes that conditions, stacks and segmenters use.
    public let header: InstanceHeader
    private let path: String
    /// The size in bytes above which an inflated data set is refused.
    private let inflatedLimit: Int
    /// `nil` if the data set is deflated in the file and has to be inflated for each use.
    private let kept: DataSet?

    /// Opens a file, checks the whole data set (nesting, lengths, encoding) and reads the header.
    ///
    /// Pixel data is neither read nor decoded.
    ///
    /// - Parameters:
    ///   - path: a Part 10 file, or a data set without File Meta Information.
    ///   - inflatedLimit: the size in bytes above which an inflated data set is refused; `nil` for 512 MiB, which is
    ///     also the largest value.
    ///   - keepsInflated: whether an inflated data set stays in memory, so that it is inflated only once.
    /// - Throws: `DataSetError` if the file does not hold one well-formed instance with its UIDs.
    public init(path: String, inflatedLimit: Int? = nil, keepsInflated: Bool = false) throws(DataSetError) {
        let limit = inflatedLimit ?? DataSet.inflatedLimit
        let data = try DataSet.open(path: path, inflatedLimit: limit)
        header = try InstanceHeader(data)
        self.path = path
        self.inflatedLimit = limit
        kept = data.bytes.isMapped || keepsInflated ? data : nil
    }

    /// The data set.
    ///
    /// - Throws: `DataSetError` if a deflated data set cannot be inflated again.
    func dataSet() throws(DataSetError) -> DataSet {
        if let kept { return kept }
        return try DataSet.open(path: path, inflatedLimit: inflatedLimit)
    }

    /// Hashes the image: two variants of an instance with one digest show the same image.
    ///
    /// The digest covers the Image Pixel and Image Plane attributes as numbers, the attributes that turn stored values
    /// into modality units or colours, and the pixel data. Fragments count as one run of bytes and the basic offset
    /// table does not count, because archives fragment anew.
    ///
    /// - Returns: a SHA-256 over length-prefixed fields: 64 lower-case hexadecimal digits.
    /// - Throws: `DataSetError` if a deflated data set cannot be inflated again.
    public func imageDigest() throws(DataSetError) -> String { try imageDigest(of: dataSet()) }

    /// Hashes the image and each attribute that a route, a stack or a SEG takes from this instance.
    ///
    /// - Returns: `image` as `imageDigest()` gives it; `attributes` by keyword, each 64 lower-case hexadecimal digits
    ///   (see ``SourceAttributes``). An attribute that is absent or empty is left out.
    /// - Throws: `DataSetError` if a deflated data set cannot be inflated again.
    public func digests() throws(DataSetError) -> (image: String, attributes: [String: String]) {
        let data = try dataSet()
        return (imageDigest(of: data), SourceAttributes.digests(of: data))
    }

    private func imageDigest(of data: DataSet) -> String {
        var hash = SHA256()
        for field in digestedFields(of: data) { hash.update(field: Array(field.utf8)) }
        for table in [
            Attribute.redPaletteColorLookupTableData, .greenPaletteColorLookupTableData,
            .bluePaletteColorLookupTableData,
        ] {
            hash.update(field: data.raw(table) ?? [])
        }
        hashTables(of: data, into: &hash)
        hashFrames(of: data, into: &hash)
        if let pixels = data.element(.pixelData) {
            for part in data.fragments()?.dropFirst() ?? [pixels.range] {
                data.bytes.forEachPiece(of: part) { hash.update(bufferPointer: $0) }
            }
        }
        return hash.finalize().hexadecimal
    }

    /// Adds the tables that few images have.
    ///
    /// An image without them adds nothing, so that its digest is the one that earlier versions stored.
    private func hashTables(of data: DataSet, into hash: inout SHA256) {
        let descriptors: [Attribute] = [
            .redPaletteColorLookupTableDescriptor, .greenPaletteColorLookupTableDescriptor,
            .bluePaletteColorLookupTableDescriptor,
        ]
        for descriptor in descriptors where data.contains(descriptor) {
            hash.update(field: Array("\(descriptor.keyword) \(data.integers(descriptor))".utf8))
        }
        for item in data.items(.modalityLUTSequence) {
            let descriptor = data.integers(.lutDescriptor, in: item)
            hash.update(field: Array("\(Attribute.lutDescriptor.keyword) \(descriptor)".utf8))
            hash.update(field: data.raw(.lutData, in: item) ?? [])
        }
    }

    /// Adds the attributes and the modality transforms that functional groups give to frames, if they give any.
    private func hashFrames(of data: DataSet, into hash: inout SHA256) {
        func add(_ field: String) { hash.update(field: Array(field.utf8)) }
        for frame in header.frames?.frames ?? [] {
            let plane = frame.plane.map {
                $0.position.components + $0.rowDirection.components + $0.columnDirection.components
                    + [$0.rowSpacing, $0.columnSpacing]
            }
            let numbers: [Double?] = [
                frame.sliceThickness, frame.spacingBetweenSlices, frame.echoTime, frame.triggerTime,
                frame.cardiacPhasePercentage, frame.inversionTime, frame.temporalPosition.map(Double.init),
                frame.acquisitionNumber.map(Double.init),
            ]
            add("frame \(plane ?? [])")
            add("\(numbers.map { $0.map { "\($0)" } ?? "" })")
            for text in [frame.stackID ?? "", "\(frame.imageType.count)"] + frame.imageType { add(text) }
        }
        guard let groups = FunctionalGroupItems(data), groups.transformation(frame: 0) != nil else { return }
        for frame in 0..<max(1, min(header.numberOfFrames, groups.count)) {
            let item = groups.transformation(frame: frame)
            add("rescale \(data.doubles(.rescaleSlope, in: item)) \(data.doubles(.rescaleIntercept, in: item))")
        }
    }

    private func digestedFields(of data: DataSet) -> [String] {
        func numbers(_ attribute: Attribute) -> String {
            data.doubles(attribute).map { "\($0)" }.joined(separator: "\\")
        }
        return [
            "\(header.rows)", "\(header.columns)", "\(max(1, data.integer(.numberOfFrames) ?? 1))",
            "\(header.samplesPerPixel)",
            header.photometricInterpretation, "\(header.bitsAllocated)", "\(header.bitsStored)", "\(header.highBit)",
            "\(header.isSigned)", "\(header.planarConfiguration)", numbers(.imagePositionPatient),
            numbers(.imageOrientationPatient), numbers(.pixelSpacing), "\(header.sliceThickness ?? 0)",
            "\(header.spacingBetweenSlices ?? 0)", header.frameOfReferenceUID ?? "", numbers(.rescaleSlope),
            numbers(.rescaleIntercept),
        ]
    }
}
