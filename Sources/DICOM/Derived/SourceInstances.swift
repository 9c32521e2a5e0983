// SPDX-License-Identifier: Apache-2.0

import Imaging

/// One source instance of a stack and the frames of it that were segmented.
public struct SegmentationSource {
    /// The open file: writing and verifying a SEG do not open it again.
    public let file: InstanceFile
    /// The frames, counted from 1; `nil` for all of them.
    ///
    /// The list is empty if the whole instance was left out. An object does not refer to such an instance. Attributes of
    /// the patient and of the study may be copied from it all the same.
    public let frameNumbers: [Int]?

    /// Takes an open file and some of its frames, counted from 1; `nil` for all of them.
    public init(_ file: InstanceFile, frameNumbers: [Int]? = nil) {
        self.file = file
        self.frameNumbers = frameNumbers
    }

    /// The data set of the source at `index` of its stack.
    func dataSet(at index: Int) throws(ObjectError) -> DataSet {
        do { return try file.dataSet() } catch { throw .source(index: index, error) }
    }
}

extension [SegmentationSource] {
    /// The sources of which a frame was segmented.
    var segmented: Self { filter { $0.frameNumbers?.isEmpty != true } }
}

/// The properties of one source instance that a SEG needs.
///
/// Each one is part of the UID of the SEG: it is a UID, or `InstanceFile.imageDigest()` covers it, or
/// ``SourceAttributes`` lists it.
struct SourceInstance {
    let sopClassUID: String
    let sopInstanceUID: String
    let studyInstanceUID: String
    let seriesInstanceUID: String
    let rows: Int
    let columns: Int
    let numberOfFrames: Int
    /// The plane of a single frame; `nil` without usable geometry.
    let plane: PlaneGeometry?
    /// Slice Thickness, mm.
    let sliceThickness: Double?
    /// Spacing Between Slices, mm.
    let spacingBetweenSlices: Double?
    let frameOfReferenceUID: String?
    /// Body Part Examined; `nil` if absent.
    let bodyPartExamined: String?
    /// The frames that were segmented, counted from 1.
    let frameNumbers: [Int]
    /// Image Position (Patient) as the source wrote it; empty if absent.
    let position: [String]
    /// Image Orientation (Patient) as the source wrote it; empty if absent.
    let orientation: [String]
    /// Pixel Spacing as the source wrote it; empty if absent.
    let pixelSpacing: [String]
    /// `nil` if the pixels were never compressed lossily.
    let compression: LossyCompression?
    /// Whether the pixels themselves identify the patient: Burned In Annotation is YES.
    let hasBurnedInAnnotation: Bool

    init(_ header: InstanceHeader, frameNumbers: [Int], data: DataSet) {
        let values = CopiedValues(data)
        sopClassUID = header.sopClassUID
        sopInstanceUID = header.sopInstanceUID
        studyInstanceUID = header.studyInstanceUID
        seriesInstanceUID = header.seriesInstanceUID
        rows = header.rows
        columns = header.columns
        numberOfFrames = header.numberOfFrames
        plane = header.plane
        sliceThickness = header.sliceThickness
        spacingBetweenSlices = header.spacingBetweenSlices
        frameOfReferenceUID = header.frameOfReferenceUID
        bodyPartExamined = values.string(.bodyPartExamined)
        self.frameNumbers = frameNumbers
        position = values.strings(.imagePositionPatient)
        orientation = values.strings(.imageOrientationPatient)
        pixelSpacing = values.strings(.pixelSpacing)
        compression = LossyCompression(values, header, fragments: data.fragments())
        hasBurnedInAnnotation = values.string(.burnedInAnnotation) == "YES"
    }
}

/// The lossy compression that the pixels of a source went through (PS3.3 C.7.6.1.1.5).
struct LossyCompression: Hashable {
    /// Lossy Image Compression Ratio; empty if unknown.
    var ratios: [String]
    /// Lossy Image Compression Method; empty if unknown.
    var methods: [String]

    /// Lossy Image Compression Method of a transfer syntax; `nil` if the syntax cannot be lossy.
    static func method(ofSyntax uid: String) -> String? {
        TransferSyntax(rawValue: uid)?.lossyMethod
    }

    /// Reads the compression of a source; `nil` if its pixels were never compressed lossily.
    ///
    /// - Parameters:
    ///   - values: the source.
    ///   - header: the size of the uncompressed pixels, and the transfer syntax.
    ///   - fragments: the fragments of Pixel Data, the basic offset table first.
    init?(_ values: CopiedValues, _ header: InstanceHeader, fragments: [Range<Int>]?) {
        var method = Self.method(ofSyntax: header.transferSyntaxUID)
        // JPEG 2000 may be lossless in the syntax of lossy images: the source then says so.
        let isEither =
            TransferSyntax(rawValue: header.transferSyntaxUID).map { [.jpeg2000, .htj2k].contains($0) } == true
        if isEither, values.string(.lossyImageCompression) == "00" { method = nil }
        guard method != nil || values.string(.lossyImageCompression) == "01" else { return nil }
        ratios = values.strings(.lossyImageCompressionRatio).filter { !$0.isEmpty }
        methods = values.strings(.lossyImageCompressionMethod).filter { !$0.isEmpty }
        if methods.isEmpty, let method { methods = [method] }
        if ratios.isEmpty, method != nil, let fragments {
            let compressed = max(fragments.dropFirst().reduce(0) { $0 + $1.count }, 1)
            let whole = Double(header.rows * header.columns * header.samplesPerPixel * max(header.bitsAllocated / 8, 1))
            let ratio = whole * Double(header.numberOfFrames) / Double(compressed)
            ratios = [WrittenText.decimal((ratio * 100).rounded() / 100)]
        }
    }
}

/// The places of a SEG's frames in a frame of reference, as they are written.
struct SegmentationGeometry {
    var frameOfReferenceUID: String
    /// Decimal strings: the distance between rows, then that between columns, mm.
    var pixelSpacing: [String]
    /// Slice Thickness, mm.
    var sliceThickness: Double
    /// Spacing Between Slices, mm.
    var spacingBetweenSlices: Double
    /// Decimal strings: the direction of a row, then that of a column.
    var orientation: [String]
    /// Image Position (Patient) of every frame of the stack, in stack order.
    var positions: [[String]]
}

/// The source instances of a stack, and the properties of the whole stack.
struct SegmentationSources {
    let instances: [SourceInstance]
    /// For every frame of the stack: the index of its source, and its number there from 1.
    let frames: [(source: Int, frameNumber: Int)]

    /// Reads the attributes of open files; sources that were left out are passed over.
    ///
    /// - Throws: `ObjectError.inconsistent` if there are no sources, if a frame number is too large, or if
    ///   the sources are not of one series and size; `.source` if a deflated source cannot be inflated again.
    init(_ sources: [SegmentationSource]) throws(ObjectError) {
        var instances: [SourceInstance] = []
        var frames: [(source: Int, frameNumber: Int)] = []
        for (index, source) in sources.segmented.enumerated() {
            let header = source.file.header
            let numbers = source.frameNumbers ?? Array(1...header.numberOfFrames)
            guard numbers.allSatisfy({ (1...header.numberOfFrames).contains($0) }) else {
                throw .inconsistent(reason: "source instance \(index + 1) has only \(header.numberOfFrames) frames")
            }
            let data = try source.dataSet(at: index)
            instances.append(SourceInstance(header, frameNumbers: numbers, data: data))
            frames += numbers.map { (index, $0) }
        }
        guard let first = instances.first else { throw .inconsistent(reason: "there are no source instances") }
        guard
            instances.allSatisfy({
                $0.rows == first.rows && $0.columns == first.columns
                    && $0.seriesInstanceUID == first.seriesInstanceUID
                    && $0.studyInstanceUID == first.studyInstanceUID
            })
        else { throw .inconsistent(reason: "the source instances are not of one series and size") }
        self.instances = instances
        self.frames = frames
    }

    /// The places of the frames; `nil` unless all sources are single frames with planes of one orientation and frame of
    /// reference.
    func geometry() -> SegmentationGeometry? {
        let first = instances[0]
        guard let uid = first.frameOfReferenceUID, let plane = first.plane,
            instances.allSatisfy({ $0.frameOfReferenceUID == uid && $0.numberOfFrames == 1 })
        else { return nil }
        let planes = instances.compactMap(\.plane)
        guard planes.count == instances.count else { return nil }
        let along = planes.map { ($0.position - plane.position).dot(plane.normal) }
        guard instances.count > 1 else {
            return geometry(uid, spacing: first.spacingBetweenSlices ?? first.sliceThickness ?? 1)
        }
        // Planes that cannot be ordered (turned or shifted sideways) do not have a shared orientation and a regular
        // grid.
        guard let order = try? SliceOrder(planes: planes) else { return nil }
        let extent = (along.max() ?? 0) - (along.min() ?? 0)
        return geometry(uid, spacing: order.spacing > 0 ? order.spacing : max(extent, 1))
    }

    private func geometry(_ uid: String, spacing: Double) -> SegmentationGeometry {
        let first = instances[0]
        return SegmentationGeometry(
            frameOfReferenceUID: uid, pixelSpacing: first.pixelSpacing,
            sliceThickness: first.sliceThickness ?? spacing, spacingBetweenSlices: spacing,
            orientation: first.orientation,
            positions: instances.flatMap { instance in instance.frameNumbers.map { _ in instance.position } })
    }

    /// For each frame of the stack, its rank from 0 in the order of positions; `nil` without geometry.
    func ranks() -> [Int]? {
        guard geometry() != nil else { return nil }
        let planes = frames.compactMap { instances[$0.source].plane }
        guard planes.count == frames.count else { return nil }
        guard planes.count > 1 else { return [0] }
        guard let order = try? SliceOrder(planes: planes) else { return nil }
        var ranks = [Int](repeating: 0, count: planes.count)
        for (rank, index) in order.indices.enumerated() { ranks[index] = rank }
        return ranks
    }

    /// The frames of a SEG: those with a mask that is not empty, in the order of positions, else in that of the stack.
    ///
    /// - Parameter masks: one for each frame of the stack.
    /// - Returns: the frames in the order of the SEG; their ranks are the numbers of its frames.
    func frames(of masks: [Mask]) -> [SegmentationFrame] {
        let ranks = ranks()
        let written = masks.indices.filter { !masks[$0].isEmpty }
            .sorted { (ranks?[$0] ?? 0, $0) < (ranks?[$1] ?? 0, $1) }
        return written.enumerated().map { rank, mask in
            SegmentationFrame(
                mask: mask, source: frames[mask].source, frameNumber: frames[mask].frameNumber, placeInStack: mask + 1,
                rank: rank + 1)
        }
    }

    /// Checks that there is one mask per frame, each of the size of the sources.
    ///
    /// - Throws: `ObjectError.inconsistent`.
    func check(_ masks: [Mask]) throws(ObjectError) {
        guard masks.count == frames.count else {
            throw .inconsistent(reason: "there are \(masks.count) masks for \(frames.count) frames")
        }
        let first = instances[0]
        guard masks.allSatisfy({ $0.rows == first.rows && $0.columns == first.columns }) else {
            throw .inconsistent(
                reason: "a mask does not have the size of its source, \(first.rows) x \(first.columns)")
        }
    }
}
