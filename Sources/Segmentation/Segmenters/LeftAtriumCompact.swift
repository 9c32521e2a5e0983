// SPDX-License-Identifier: Apache-2.0
//
// left-atrium-compact: the left atrial cavity in late gadolinium enhanced MRI. The recipe is that of
// training/recipes/left_atrium_compact.py, on the volume turned to inferior-superior, posterior, left: resized to
// 1.25 mm -> clipped to the 0.5 and 99.5 percentiles of what is positive, zero mean, unit deviation -> padded with
// zeros to multiples of 16 -> residual U-Net (training/networks/residual_unet.py) at three shifts -> sigmoid -> mean
// -> resized to the source grid -> at least 0.5 -> largest component. In a field of view far larger than the
// training's all this happens in the region that `FieldSearch` finds. Confidence is fitted to measures on the
// network's grid (training/recipes/confidence.py).

internal import Imaging
internal import Inference

final class LeftAtriumCompact: Recipe {
    static let description = SegmenterDescriptor(
        name: "left-atrium-compact",
        version: "1.2.0",
        accepts: .volume,
        weightsHash: EmbeddedWeights(of: "left-atrium-compact").sha256,
        segmentLabel: "left atrium",
        category: CodedConcept("91723000", "SCT", "Anatomical Structure"),
        type: CodedConcept("82471001", "SCT", "Left atrium"),
        anatomicRegion: nil,
        recommendedDisplayColor: DisplayColor(red: 255, green: 96, blue: 64),
        title: "the left atrial cavity in 3D late gadolinium enhanced MRI",
        paper: "Isensee 2021 (nnU-Net), He 2016 (residual blocks); trained by training/fitting/train.py",
        licence: "research use only, see training/cards/left-atrium-compact.md")

    /// Of the network's grid, mm.
    static let spacing = 1.25
    static let percentiles = [0.5, 99.5]
    static let threshold: Float = 0.5
    /// Zeros in front of every axis, one view each.
    static let shifts = [0, 5, 10]
    /// The longest side of a volume in training, mm; one with a side of more than `searched` mm is searched.
    static let trainedExtent = 150.0
    static let searched = 225.0
    /// The most that an answer is trusted where the search found nothing plausible.
    static let doubtful = 0.25
    /// Of the training volumes on the network's grid, normalised.
    static let known = VolumeLikeness(roughness: (0.9045, 0.0684), skewness: (0.1792, 0.2774))
    /// Volumes whose field of view needs more points of the network's grid are refused: their windows would take
    /// minutes.
    static let mostGridPoints = 32_000_000
    static let mostVoxels = 150_000_000

    private let network: ResidualUNet
    private let confidenceFit: ConfidenceFit?
    private let precision: Precision

    init(precision: Precision) throws {
        let file = try Self.weights(expecting: [
            "spacing": [Self.spacing, Self.spacing, Self.spacing], "percentiles": Self.percentiles,
            "threshold": [Double(Self.threshold)], "searched": [Self.searched],
            "roughness": [Self.known.roughness.middle, Self.known.roughness.spread],
            "skewness": [Self.known.skewness.middle, Self.known.skewness.spread],
        ])
        network = try naming(Self.name) { try ResidualUNet(file, precision: precision) }
        confidenceFit = try Self.confidenceFit(in: file)
        self.precision = precision
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try Self.entry.check(options)
        guard case .volume(let volume) = input else {
            throw SegmentationError.wrongKind(segmenter: Self.name, accepts: "volumes")
        }
        let orientation = CanonicalOrientation(of: volume)
        let grid = try Self.check(volume, orientation)
        let values = Resampling.resize(orientation.canonical(volume.voxels), from: orientation.shape, to: grid)
        let extent = zip(orientation.shape, orientation.spacing).map { Double($0) * $1 }.max() ?? 0
        let search = extent > Self.searched ? FieldSearch(grid: grid) : nil
        let searchSteps = search.map { $0.windows.count + FieldSearch.candidates } ?? 0
        let steps = searchSteps + Self.shifts.count + 2
        progress(1, steps)
        let place = try search?.region(values, progress: { progress(1 + $0, steps) }, answered: answered)
        let region = place?.region ?? GridRegion(starts: [0, 0, 0], shape: grid)

        let normalised = Self.normalised(region.cut(values, of: grid))
        var each = [[Float]]()
        for shift in Self.shifts {
            each.append(try probabilities(normalised, region.shape, shift: shift))
            progress(searchSteps + 1 + each.count, steps)
        }
        var result = answer(
            each, region, grid, orientation, likeness: Self.known.value(normalised, shape: region.shape))
        if let place {
            let (seen, largest) = (Int(Self.trainedExtent), Int(extent + 0.5))
            result.notes.append("field of view outside training: \(largest) mm, up to \(seen) mm were seen")
            if place.plausibility < FieldSearch.leastPlausible {
                result.confidence.value = min(result.confidence.value, Self.doubtful)
                result.notes.append("nothing in it looks like a left atrium")
            }
        }
        progress(steps, steps)
        return result
    }

    /// What the search asks of a window: the first view's answer.
    private func answered(_ values: [Float], shape: [Int]) throws -> FieldSearch.Answer {
        let probability = try probabilities(Self.normalised(values), shape, shift: Self.shifts[0])
        return FieldSearch.Answer(probability: probability, mask: Self.mask(probability, shape))
    }

    /// The shape of the network's grid, which keeps the field of view.
    private static func check(_ volume: Volume, _ orientation: CanonicalOrientation) throws -> [Int] {
        guard volume.voxels.count <= mostVoxels else {
            throw unsuitable("it has more than \(mostVoxels / 1_000_000) million voxels")
        }
        guard volume.voxels.reduce(0, { $0 + abs($1) * 0x1p-64 }).isFinite else {
            throw unsuitable("it has values that are not finite")
        }
        let extents = zip(orientation.shape, orientation.spacing).map { Double($0) * $1 / spacing }
        guard extents.allSatisfy({ $0.isFinite && $0 < 4096 }) else {
            throw unsuitable("its field of view is wider than 5 m: its spacing cannot be right")
        }
        let grid = extents.map { max(1, Int($0 + 0.5)) }
        guard grid.reduce(1, *) <= mostGridPoints else {
            let size = extents.map { "\(Int($0 * spacing))" }.joined(separator: " x ")
            throw unsuitable("its field of view of \(size) mm is too large: crop it to the heart")
        }
        return grid
    }

    /// Clipped to the percentiles of what is positive, zero mean, unit deviation.
    private static func normalised(_ values: [Float]) -> [Float] {
        let lift = min(0, values.min() ?? 0)
        let lifted = lift < 0 ? values.map { $0 - lift } : values
        let inside = lifted.filter { $0 > 0 }
        guard !inside.isEmpty else { return [Float](repeating: 0, count: values.count) }
        let ranks = percentiles.map { Int($0 / 100 * Double(inside.count - 1) + 0.5) }
        let limits = Intensities.ranked(ranks, of: inside)
        let (mean, deviation) = Intensities.moments(of: inside.map { min(max($0, limits[0]), limits[1]) })
        let scale = max(deviation, 1e-6)
        return lifted.map { Float((Double(min(max($0, limits[0]), limits[1])) - mean) / scale) }
    }

    /// On the grid, with `shift` zeros in front of every axis while the network runs.
    private func probabilities(_ values: [Float], _ grid: [Int], shift: Int) throws -> [Float] {
        let stride = network.architecture.totalStride
        let padded = grid.map { ($0 + shift + stride - 1) / stride * stride }
        let inside = GridRegion(starts: grid.map { _ in shift }, shape: grid)
        let input = Tensor(shape: [1] + padded + [1], values: inside.placed(values, on: padded))
        var output = try naming(Self.name) { try network(input) }
        output.applySigmoid()
        return inside.cut(output.values, of: padded)
    }

    /// The mean of the region's views on the source grid, its largest component, and its confidence.
    private func answer(
        _ each: [[Float]], _ region: GridRegion, _ grid: [Int], _ orientation: CanonicalOrientation, likeness: Double
    ) -> SegmenterResult {
        var mean = each[0]
        for view in each.dropFirst() { for index in mean.indices { mean[index] += view[index] } }
        for index in mean.indices { mean[index] /= Float(each.count) }
        let measures = AnswerMeasures(
            shape: region.shape, probability: mean, mask: Self.mask(mean, region.shape),
            views: each.map { Self.mask($0, region.shape) }, likeness: likeness)
        let placed = region.placed(mean, on: grid)
        let (pixels, components) = Self.answer(placed, grid, orientation)
        let probability = orientation.source(Resampling.resize(placed, from: grid, to: orientation.shape))

        let (slices, rows, columns) =
            (orientation.sourceShape[0], orientation.sourceShape[1], orientation.sourceShape[2])
        var result = SegmenterResult(
            masks: [], probabilities: [], frameConfidence: [],
            confidence: measures.confidence(confidenceFit, isEmpty: !pixels.contains(1)),
            notes: ["computed in \(precision.rawValue)"])
        for slice in 0..<slices {
            let range = slice * rows * columns..<(slice + 1) * rows * columns
            result.masks.append(Mask(rows: rows, columns: columns, pixels: Array(pixels[range])))
            result.probabilities.append(Array(probability[range]))
            result.frameConfidence.append(Self.confidence(ofSlice: pixels[range], probability[range]))
        }
        if components > 1 { result.notes.append("the largest of \(components) components was kept") }
        return result
    }

    /// What the probabilities alone expect of its Dice; 1 - the largest of them where the mask is empty.
    private static func confidence(ofSlice mask: ArraySlice<UInt8>, _ probability: ArraySlice<Float>) -> Confidence {
        var (sum, inside, largest): (Double, Double, Float) = (0, 0, 0)
        for (value, isInside) in zip(probability, mask) {
            sum += Double(value)
            inside += isInside != 0 ? Double(value) : 0
            largest = max(largest, value)
        }
        let count = mask.count { $0 != 0 }
        let value = count > 0 ? 2 * inside / (sum + Double(count)) : 1 - Double(largest)
        return Confidence(value: min(max(value, 0), 1), measures: [:])
    }

    /// The largest component where a probability on the grid reaches the threshold, on the grid.
    private static func mask(_ probability: [Float], _ grid: [Int]) -> [UInt8] {
        var pixels = probability.map { UInt8($0 >= threshold ? 1 : 0) }
        ConnectedComponents.keepLargest(&pixels, slices: grid[0], rows: grid[1], columns: grid[2])
        return pixels
    }

    /// The same on the source grid, and the number of components there.
    private static func answer(
        _ probability: [Float], _ grid: [Int], _ orientation: CanonicalOrientation
    ) -> (pixels: [UInt8], components: Int) {
        let shape = orientation.shape
        var pixels = [UInt8]()
        pixels.reserveCapacity(shape.reduce(1, *))
        Resampling.resizeByPlane(probability, from: grid, to: shape) { _, plane in
            pixels.append(contentsOf: plane.lazy.map { $0 >= threshold ? 1 : 0 })
        }
        let components = ConnectedComponents.keepLargest(
            &pixels, slices: shape[0], rows: shape[1], columns: shape[2])
        return (orientation.source(pixels), components)
    }
}
