// SPDX-License-Identifier: Apache-2.0
//
// left-atrium-compact: the left atrial cavity in late gadolinium enhanced MRI, as in
// training/recipes/left_atrium_compact.py.
//
// The volume turned to inferior-superior, posterior, left -> resized to 1.25 mm -> clipped to the
// 0.5 and 99.5 percentiles of the positive values, zero mean, unit deviation -> padded with zeros
// to multiples of 16 -> residual U-Net at three shifts -> sigmoid -> mean -> resized to the source
// grid -> at least 0.5 -> largest component.
//
// In a field of view far larger than the training's, all this happens in the region that
// `FieldSearch` finds. The confidence is fitted to measures on the network's grid
// (training/recipes/confidence.py). If the answer is not plausible, as in a phase map or another
// sequence, the confidence is at most `doubtful`.

internal import Imaging
internal import Inference

/// Segments the left atrial cavity in volumes without a prompt.
final class LeftAtriumCompact: Segmenter {
    static let recipe = Recipe(
        SegmenterEntry(
            SegmenterDescriptor(
                name: "left-atrium-compact",
                version: "1.3.1",
                accepts: .volume,
                weightsHash: EmbeddedWeights.hash(of: "left-atrium-compact"),
                segmentLabel: "left atrium",
                category: CodedConcept("91723000", "SCT", "Anatomical Structure"),
                type: CodedConcept("82471001", "SCT", "Left atrium"),
                anatomicRegion: nil,
                recommendedDisplayColor: DisplayColor(red: 255, green: 96, blue: 64),
                title: "the left atrial cavity in 3D late gadolinium enhanced MRI",
                paper: "Isensee 2021 (nnU-Net), He 2016 (residual blocks); trained by training/fitting/train.py",
                licence: "research use only, see training/cards/left-atrium-compact.md"))
    ) { try LeftAtriumCompact($0) }

    /// Spacing of the network's grid, mm.
    static let spacing = 1.25
    static let percentiles = [0.5, 99.5]
    static let threshold: Float = 0.5
    /// The number of zeros in front of every axis.
    ///
    /// Each number makes one view.
    static let shifts = [0, 5, 10]
    /// The longest side of a training volume, mm.
    ///
    /// A volume with a side of more than `searched` mm is searched.
    static let trainedExtent = 150.0
    static let searched = 225.0
    /// The highest confidence of an answer that is less plausible than `FieldSearch.leastPlausible`.
    static let doubtful = 0.25
    /// Statistics of the training volumes, normalised on the network's grid.
    static let known = VolumeLikeness(roughness: (0.9045, 0.0684), skewness: (0.1792, 0.2774))
    /// A volume that needs more points of the network's grid is refused, because searching it would
    /// take minutes.
    static let mostGridPoints = 32_000_000

    let descriptor: SegmenterDescriptor
    private let network: ResidualUNet
    private let confidenceFit: ConfidenceFit?
    private let precision: Precision

    init(_ weights: RecipeWeights) throws {
        try weights.check([
            "spacing": [Self.spacing, Self.spacing, Self.spacing], "percentiles": Self.percentiles,
            "threshold": [Double(Self.threshold)], "searched": [Self.searched],
            "roughness": [Self.known.roughness.middle, Self.known.roughness.spread],
            "skewness": [Self.known.skewness.middle, Self.known.skewness.spread],
        ])
        descriptor = weights.descriptor
        network = try ResidualUNet(weights.tensors, precision: weights.precision)
        confidenceFit = try weights.confidenceFit()
        precision = weights.precision
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try Self.recipe.entry.check(options)
        let volume = try input.volume(for: descriptor.name)
        let orientation = CanonicalOrientation(of: volume)
        let grid = try grid(of: orientation)
        let values = Resampling.resize(orientation.canonical(volume.voxels), from: orientation.shape, to: grid)
        let extent = zip(orientation.shape, orientation.spacing).map { Double($0) * $1 }.max() ?? 0
        let search = extent > Self.searched ? FieldSearch(grid: grid) : nil
        let searchSteps = search.map { $0.windows.count + FieldSearch.candidates } ?? 0
        let steps = searchSteps + Self.shifts.count + 2
        progress(1, steps)
        let place = try search?.region(values, progress: { progress(1 + $0, steps) }, answered: answered)
        let region = place?.region ?? GridRegion(starts: [0, 0, 0], shape: grid)

        let normalised = Self.normalised(region.cut(values, of: grid))
        // The network finds something even where there is nothing to see.
        let isFlat = Contrast.isMissing(in: MagneticResonance.bytes(volume.voxels))
        var each = [[Float]]()
        for shift in Self.shifts {
            each.append(
                isFlat
                    ? [Float](repeating: 0, count: normalised.count)
                    : try probabilities(normalised, region.shape, shift: shift))
            progress(searchSteps + 1 + each.count, steps)
        }
        var result = answer(
            each, region, grid, orientation, likeness: Self.known.value(normalised, shape: region.shape))
        if isFlat { result.doubtWithoutContrast() }
        if place != nil {
            let (seen, largest) = (Int(Self.trainedExtent), Int(extent + 0.5))
            result.notes.append("field of view outside training: \(largest) mm, trained on up to \(seen) mm")
        }
        let plausibility = min(place?.plausibility ?? 1, Self.plausibility(of: result))
        if plausibility < FieldSearch.leastPlausible {
            result.confidence.value = min(result.confidence.value, Self.doubtful)
            result.notes.append("nothing in the images looks like a left atrium")
        }
        result.clear(volume.padding)
        progress(steps, steps)
        return result
    }

    /// The likeness of a volume to the training volumes.
    ///
    /// In a field of view far larger than the training's, a window of the training's size around the masks counts.
    ///
    /// - Parameters:
    ///   - volume: any orientation and spacing.
    ///   - masks: one mask per slice, not all empty.
    /// - Returns: 0...1, as `VolumeLikeness.value` gives it.
    static func likeness(of volume: Volume, around masks: [Mask]) -> Double {
        let orientation = CanonicalOrientation(of: volume)
        var region = GridRegion(starts: [0, 0, 0], shape: orientation.shape)
        let extents = zip(orientation.shape, orientation.spacing).map { Double($0) * $1 }
        if !extents.allSatisfy({ $0 <= searched }) {
            let inside = orientation.canonical(masks.flatMap { $0.pixels.map(Float.init) })
            region = window(around: inside, orientation)
        }
        let grid = zip(region.shape, orientation.spacing).map { count, step in
            max(1, Int(min(Double(count) * step, searched) / spacing + 0.5))
        }
        let values = region.cut(orientation.canonical(volume.voxels), of: orientation.shape)
        return known.value(normalised(Resampling.resize(values, from: region.shape, to: grid)), shape: grid)
    }

    /// A window of the training's size around the centre of mass of a mask, which is not empty.
    private static func window(around inside: [Float], _ orientation: CanonicalOrientation) -> GridRegion {
        let shape = orientation.shape
        let sides = zip(shape, orientation.spacing).map { extent, spacing in
            max(1, Int(min(Double(extent), Double(FieldSearch.window) * Self.spacing / spacing)))
        }
        var (sums, count) = ([0.0, 0.0, 0.0], 0.0)
        for index in inside.indices where inside[index] > 0 {
            sums[0] += Double(index / (shape[1] * shape[2]))
            sums[1] += Double(index / shape[2] % shape[1])
            sums[2] += Double(index % shape[2])
            count += 1
        }
        let starts = (0..<3).map { axis in
            min(max(Int(sums[axis] / max(1, count)) - sides[axis] / 2, 0), shape[axis] - sides[axis])
        }
        return GridRegion(starts: starts, shape: sides)
    }

    /// The plausibility of an answer; 1 for an empty one, which claims nothing.
    private static func plausibility(of result: SegmenterResult) -> Double {
        guard result.masks.contains(where: { !$0.isEmpty }) else { return 1 }
        let measures = result.confidence.measures
        return (measures["expectedDice"] ?? 0) * (measures["boundaryCertainty"] ?? 0)
    }

    /// Segments one window for the search by the first view alone.
    private func answered(_ values: [Float], shape: [Int]) throws -> FieldSearch.WindowAnswer {
        let probability = try probabilities(Self.normalised(values), shape, shift: Self.shifts[0])
        return FieldSearch.WindowAnswer(probability: probability, mask: Self.mask(probability, shape))
    }

    /// The shape of the network's grid, which keeps the field of view.
    private func grid(of orientation: CanonicalOrientation) throws -> [Int] {
        func unsuitable(_ reason: String) -> SegmentationError {
            .unsuitable(segmenter: descriptor.name, reason: reason)
        }
        let extents = zip(orientation.shape, orientation.spacing).map { Double($0) * $1 / Self.spacing }
        guard extents.allSatisfy({ $0.isFinite && $0 < 4096 }) else {
            throw unsuitable("its field of view is wider than 5 m: its spacing cannot be right")
        }
        let grid = extents.map { max(1, Int($0 + 0.5)) }
        guard grid.reduce(1, *) <= Self.mostGridPoints else {
            let size = extents.map { "\(Int($0 * Self.spacing))" }.joined(separator: " x ")
            throw unsuitable("its field of view of \(size) mm is too large: crop it to the heart")
        }
        return grid
    }

    /// The values clipped to the percentiles of the positive ones, with zero mean and unit
    /// deviation.
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

    /// Probabilities on the grid, from a run with `shift` zeros in front of every axis.
    private func probabilities(_ values: [Float], _ grid: [Int], shift: Int) throws -> [Float] {
        let stride = network.architecture.totalStride
        let padded = grid.map { ($0 + shift + stride - 1) / stride * stride }
        let inside = GridRegion(starts: grid.map { _ in shift }, shape: grid)
        let input = Tensor(shape: [1] + padded + [1], values: inside.placed(values, on: padded))
        var output = try naming(descriptor.name) { try network(input) }
        output.applySigmoid()
        return inside.cut(output.values, of: padded)
    }

    /// The result on the source grid: the mean of the region's views, its largest component, and
    /// its confidence.
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
        var result = SegmenterResult(computedIn: precision)
        result.confidence = measures.confidence(confidenceFit, isEmpty: !pixels.contains(1))
        for slice in 0..<slices {
            let range = slice * rows * columns..<(slice + 1) * rows * columns
            result.add(
                mask: Array(pixels[range]), probabilities: Array(probability[range]), rows: rows, columns: columns,
                confidence: Self.confidence(ofSlice: pixels[range], probability[range]))
        }
        if components > 1 { result.notes.append("the largest of \(components) components was kept") }
        return result
    }

    /// The confidence of one slice.
    ///
    /// The value is the Dice that the probabilities predict. For an empty mask it is 1 - the
    /// largest probability.
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

    /// The largest component of the grid's points whose probability reaches the threshold, 0 or 1.
    private static func mask(_ probability: [Float], _ grid: [Int]) -> [UInt8] {
        var pixels = probability.map { UInt8($0 >= threshold ? 1 : 0) }
        ConnectedComponents.keepLargest(&pixels, slices: grid[0], rows: grid[1], columns: grid[2])
        return pixels
    }

    /// The largest component on the source grid, 0 or 1, and the number of components there.
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
