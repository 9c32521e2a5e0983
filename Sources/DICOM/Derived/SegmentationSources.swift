// SPDX-License-Identifier: Apache-2.0

import Imaging

/// The source instances of a stack, read once, and what follows from all of them together.
struct SegmentationSources {
    let instances: [SourceInstance]
    let newest: DataSet
    /// For every frame of the stack: index of its source, and its number there from 1.
    let frames: [(source: Int, frameNumber: Int)]

    init(_ sources: [SegmentationSource], newest newestIndex: Int) throws(SegmentationError) {
        guard !sources.isEmpty, sources.indices.contains(newestIndex) else {
            throw .inconsistent(reason: "there is no source instance \(newestIndex + 1) of \(sources.count)")
        }
        var instances: [SourceInstance] = []
        var newest: DataSet?
        var frames: [(source: Int, frameNumber: Int)] = []
        for (index, source) in sources.enumerated() {
            let data: DataSet
            let header: InstanceHeader
            do {
                data = try DataSet.open(path: source.path)
                header = try InstanceHeader(data)
            } catch { throw .source(index: index, error) }
            let numbers = source.frameNumbers ?? Array(1...header.numberOfFrames)
            guard numbers.allSatisfy({ (1...header.numberOfFrames).contains($0) }) else {
                throw .inconsistent(reason: "source instance \(index + 1) has \(header.numberOfFrames) frames only")
            }
            instances.append(
                SourceInstance(
                    header: header, frameNumbers: numbers, position: data.strings(.imagePositionPatient),
                    orientation: data.strings(.imageOrientationPatient), pixelSpacing: data.strings(.pixelSpacing),
                    compression: Self.compression(of: data, header)))
            frames += numbers.map { (index, $0) }
            if index == newestIndex { newest = data }
        }
        guard let newest, let first = instances.first?.header else {
            throw .inconsistent(reason: "there are no source instances")
        }
        guard
            instances.allSatisfy({
                $0.header.rows == first.rows && $0.header.columns == first.columns
                    && $0.header.seriesInstanceUID == first.seriesInstanceUID
                    && $0.header.studyInstanceUID == first.studyInstanceUID
            })
        else { throw .inconsistent(reason: "the source instances are not of one series and size") }
        self.instances = instances
        self.newest = newest
        self.frames = frames
    }

    /// Where the frames lie, if all sources are single frames with planes of one orientation and frame of reference.
    func geometry() -> SegmentationGeometry? {
        let first = instances[0]
        guard let uid = first.header.frameOfReferenceUID, let plane = first.header.plane,
            instances.allSatisfy({ $0.header.frameOfReferenceUID == uid && $0.header.numberOfFrames == 1 })
        else { return nil }
        let planes = instances.compactMap(\.header.plane)
        guard planes.count == instances.count else { return nil }
        let along = planes.map { ($0.position - plane.position).dot(plane.normal) }
        guard instances.count > 1 else {
            return geometry(uid, spacing: first.header.spacingBetweenSlices ?? first.header.sliceThickness ?? 1)
        }
        // Planes that cannot be ordered (turned or shifted sideways) have no shared orientation and no regular grid.
        guard let order = try? SliceOrder(planes: planes) else { return nil }
        let extent = (along.max() ?? 0) - (along.min() ?? 0)
        return geometry(uid, spacing: order.spacing > 0 ? order.spacing : max(extent, 1))
    }

    private func geometry(_ uid: String, spacing: Double) -> SegmentationGeometry {
        let first = instances[0]
        return SegmentationGeometry(
            frameOfReferenceUID: uid, pixelSpacing: first.pixelSpacing,
            sliceThickness: first.header.sliceThickness ?? spacing, spacingBetweenSlices: spacing,
            orientation: first.orientation,
            positions: instances.flatMap { instance in instance.frameNumbers.map { _ in instance.position } })
    }

    /// For each frame of the stack, its place in the order of positions; `nil` without geometry.
    func ranks() -> [Int]? {
        guard geometry() != nil else { return nil }
        let planes = frames.compactMap { instances[$0.source].header.plane }
        guard planes.count == frames.count else { return nil }
        guard planes.count > 1 else { return [0] }
        guard let order = try? SliceOrder(planes: planes) else { return nil }
        var ranks = [Int](repeating: 0, count: planes.count)
        for (rank, index) in order.indices.enumerated() { ranks[index] = rank }
        return ranks
    }

    private static func compression(of data: DataSet, _ header: InstanceHeader) -> LossyCompression? {
        let methods: [String: String] = [
            TransferSyntax.jpegBaseline.rawValue: "ISO_10918_1", TransferSyntax.jpegExtended.rawValue: "ISO_10918_1",
            TransferSyntax.jpegSpectralSelection.rawValue: "ISO_10918_1",
            TransferSyntax.jpegFullProgression.rawValue: "ISO_10918_1",
            TransferSyntax.jpegLSNearLossless.rawValue: "ISO_14495_1",
        ]
        let method = methods[header.transferSyntaxUID]
        guard method != nil || data.string(.lossyImageCompression) == "01" else { return nil }
        var compression = LossyCompression(
            ratios: data.strings(.lossyImageCompressionRatio).filter { !$0.isEmpty },
            methods: data.strings(.lossyImageCompressionMethod).filter { !$0.isEmpty })
        if compression.methods.isEmpty, let method { compression.methods = [method] }
        if compression.ratios.isEmpty, method != nil, let fragments = data.fragments() {
            let compressed = max(fragments.dropFirst().reduce(0) { $0 + $1.count }, 1)
            let whole = Double(header.rows * header.columns * header.samplesPerPixel * max(header.bitsAllocated / 8, 1))
            let ratio = whole * Double(header.numberOfFrames) / Double(compressed)
            compression.ratios = [WrittenText.decimal((ratio * 100).rounded() / 100)]
        }
        return compression
    }
}
