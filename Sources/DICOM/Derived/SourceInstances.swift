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
    let frameOfReferenceUID: String?
    /// Body Part Examined; `nil` if absent.
    let bodyPartExamined: String?
    /// Pixel Spacing of the instance as decimal strings; empty if absent.
    let pixelSpacing: [String]
    /// `nil` if the pixels were never compressed lossily.
    let compression: LossyCompression?
    /// Whether the pixels themselves identify the patient: Burned In Annotation is YES.
    let hasBurnedInAnnotation: Bool

    init(_ header: InstanceHeader, _ values: CopiedValues, fragments: [Range<Int>]?) {
        sopClassUID = header.sopClassUID
        sopInstanceUID = header.sopInstanceUID
        studyInstanceUID = header.studyInstanceUID
        seriesInstanceUID = header.seriesInstanceUID
        rows = header.rows
        columns = header.columns
        numberOfFrames = header.numberOfFrames
        frameOfReferenceUID = header.frameOfReferenceUID
        bodyPartExamined = values.string(.bodyPartExamined)
        pixelSpacing = values.decimals(.pixelSpacing)
        compression = LossyCompression(values, header, fragments: fragments)
        hasBurnedInAnnotation = values.string(.burnedInAnnotation) == "YES"
    }
}

/// One frame of a source instance: a frame of the stack.
struct SourceFrame {
    /// Index of the source.
    let source: Int
    /// The number of the frame in its instance, counted from 1.
    let frameNumber: Int
    /// The plane of the frame; `nil` without usable geometry.
    let plane: PlaneGeometry?
    /// Slice Thickness, mm.
    let sliceThickness: Double?
    /// Spacing Between Slices, mm.
    let spacingBetweenSlices: Double?
    /// Image Position (Patient) as decimal strings; empty if absent.
    let position: [String]
    /// Image Orientation (Patient) as decimal strings; empty if absent.
    let orientation: [String]
    /// Pixel Spacing as decimal strings; empty if absent.
    let pixelSpacing: [String]

    /// Takes a frame from the header of its instance.
    ///
    /// The plane of a single-frame image is written as the source wrote it. Numbers of functional groups are written
    /// anew, because `InstanceFile.imageDigest()` covers them as numbers.
    init(_ number: Int, of source: Int, _ header: InstanceHeader, _ values: CopiedValues) {
        let frame = header.header(ofFrame: number)
        self.source = source
        frameNumber = number
        plane = header.plane(ofFrame: number)
        sliceThickness = frame.sliceThickness
        spacingBetweenSlices = frame.spacingBetweenSlices
        if header.frames == nil {
            position = values.decimals(.imagePositionPatient)
            orientation = values.decimals(.imageOrientationPatient)
            pixelSpacing = values.decimals(.pixelSpacing)
        } else {
            position = (plane?.position.components ?? []).map(WrittenText.decimal)
            let directions = plane.map { $0.rowDirection.components + $0.columnDirection.components } ?? []
            orientation = directions.map(WrittenText.decimal)
            pixelSpacing = (plane.map { [$0.rowSpacing, $0.columnSpacing] } ?? []).map(WrittenText.decimal)
        }
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
    /// Every frame of the stack, in stack order.
    let frames: [SourceFrame]

    /// Reads the attributes of open files; sources that were left out are passed over.
    ///
    /// - Throws: `ObjectError.inconsistent` if there are no sources, if a frame number is too large, or if
    ///   the sources are not of one series and size; `.source` if a deflated source cannot be inflated again.
    init(_ sources: [SegmentationSource]) throws(ObjectError) {
        var instances: [SourceInstance] = []
        var frames: [SourceFrame] = []
        for (index, source) in sources.segmented.enumerated() {
            let header = source.file.header
            let numbers = source.frameNumbers ?? Array(1...header.numberOfFrames)
            guard numbers.allSatisfy({ (1...header.numberOfFrames).contains($0) }) else {
                throw .inconsistent(reason: "source instance \(index + 1) has only \(header.numberOfFrames) frames")
            }
            let data = try source.dataSet(at: index)
            let values = CopiedValues(data)
            instances.append(SourceInstance(header, values, fragments: data.fragments()))
            frames += numbers.map { SourceFrame($0, of: index, header, values) }
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

    /// The places of the frames; `nil` unless all frames have planes of one orientation and one frame of reference.
    func geometry() -> SegmentationGeometry? {
        guard let uid = instances[0].frameOfReferenceUID, let first = frames.first, let plane = first.plane,
            instances.allSatisfy({ $0.frameOfReferenceUID == uid })
        else { return nil }
        let planes = frames.compactMap(\.plane)
        guard planes.count == frames.count else { return nil }
        guard planes.count > 1 else {
            return geometry(uid, plane, spacing: first.spacingBetweenSlices ?? first.sliceThickness ?? 1)
        }
        // Planes that cannot be ordered (turned or shifted sideways) do not have a shared orientation and a regular
        // grid.
        guard let order = try? SliceOrder(planes: planes) else { return nil }
        let along = planes.map { ($0.position - plane.position).dot(plane.normal) }
        let extent = (along.max() ?? 0) - (along.min() ?? 0)
        return geometry(uid, plane, spacing: order.spacing > 0 ? order.spacing : max(extent, 1))
    }

    private func geometry(_ uid: String, _ plane: PlaneGeometry, spacing: Double) -> SegmentationGeometry {
        SegmentationGeometry(
            frameOfReferenceUID: uid, pixelSpacing: frames[0].pixelSpacing,
            sliceThickness: frames[0].sliceThickness ?? spacing, spacingBetweenSlices: spacing,
            orientation: Self.orthonormal(frames[0].orientation), positions: frames.map(\.position))
    }

    /// Makes the directions of an orientation perpendicular unit vectors.
    ///
    /// The text stays as it is if it deviates by less than 1e-5, because readers such as highdicom refuse from 1e-4 on.
    ///
    /// - Parameter texts: six decimal strings: the direction of a row, then that of a column.
    /// - Returns: six decimal strings.
    private static func orthonormal(_ texts: [String]) -> [String] {
        let numbers = texts.compactMap { Double($0) }
        guard numbers.count == 6, let row = Vector3(numbers[..<3]), let column = Vector3(numbers[3...]) else {
            return texts
        }
        let deviations = [abs(row.length - 1), abs(column.length - 1), abs(row.dot(column))]
        guard deviations.contains(where: { $0 > 1e-5 }) else { return texts }
        // Each direction turns by half of the angle that is missing, so that neither is preferred.
        let (a, b) = (row * (1 / row.length), column * (1 / column.length))
        let (sum, difference) = (a + b, a - b)
        let (s, d) = (sum * (0.5.squareRoot() / sum.length), difference * (0.5.squareRoot() / difference.length))
        return ((s + d).components + (s - d).components).map(WrittenText.decimal)
    }

    /// For each frame of the stack, its rank from 0 in the order of positions; `nil` without geometry.
    func ranks() -> [Int]? {
        guard geometry() != nil else { return nil }
        let planes = frames.compactMap(\.plane)
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
