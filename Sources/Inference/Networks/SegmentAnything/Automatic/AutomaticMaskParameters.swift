// SPDX-License-Identifier: Apache-2.0

/// An error in the parameters of automatic mask generation.
public enum AutomaticMaskError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A parameter, named as the reference spells it, has an impossible value.
    case parameter(String, reason: String)

    /// The message for an operator.
    public var description: String {
        switch self {
        case .parameter(let name, let reason): "\(name) of automatic mask generation: \(reason)"
        }
    }
}

/// The parameters of automatic mask generation.
///
/// Names and defaults are those of SamAutomaticMaskGenerator of segment-anything 1.0. The reference
/// chose the defaults for ViT-H.
public struct AutomaticMaskParameters: Sendable, Hashable, Codable {
    /// The positions of the point prompts.
    public enum Points: Sendable, Hashable, Codable {
        /// The same number of points on each side of a regular grid: points_per_side.
        case perSide(Int)
        /// A grid for each layer of crops, in fractions of the crop's extents: point_grids.
        case grids([[GridPoint]])
    }

    /// The positions of the point prompts.
    public var points = Points.perSide(32)
    /// The number of points that run through the decoder together.
    public var pointsPerBatch = 64
    /// The predicted IoU that a mask must exceed to be kept; 0 or less keeps all masks.
    public var predictedIoUThreshold = 0.88
    /// The stability score that a mask must reach to be kept; 0 or less keeps all masks.
    public var stabilityScoreThreshold = 0.95
    /// The distance by which the threshold of the logits moves up and down for the stability score.
    public var stabilityScoreOffset = 1.0
    /// The IoU above which two boxes of one crop are duplicates; the one with the better predicted
    /// IoU is kept.
    public var boxNMSThreshold = 0.7
    /// The number of layers of crops besides the whole image; layer n has 4 to the power of n
    /// crops.
    public var cropLayers = 0
    /// The IoU above which two boxes of different crops are duplicates; the one of the smaller crop
    /// is kept.
    public var cropNMSThreshold = 0.7
    /// The overlap of crops in the first layer, as a fraction of the image's shorter side; later
    /// layers overlap less.
    public var cropOverlapRatio = 512.0 / 1500.0
    /// The points per side of layer n are divided by this number to the power of n.
    public var cropPointsDownscaleFactor = 1
    /// Holes and islands with fewer pixels than this are removed; 0 keeps all.
    public var minimumRegionArea = 0
    /// The threshold of the logits: pixels with larger logits belong to the mask.
    public var maskThreshold = 0.0

    /// Creates the reference's defaults.
    public init() {}

    /// Throws `AutomaticMaskError.parameter` for an impossible value.
    func check() throws(AutomaticMaskError) {
        func demand(_ holds: Bool, _ name: String, _ reason: String) throws(AutomaticMaskError) {
            if !holds { throw .parameter(name, reason: reason) }
        }
        try demand(pointsPerBatch > 0, "points_per_batch", "it must be at least 1")
        try demand((0...6).contains(cropLayers), "crop_n_layers", "it must be 0 to 6")
        try demand(
            (0..<1).contains(cropOverlapRatio), "crop_overlap_ratio", "it must be at least 0 and less than 1")
        try demand(minimumRegionArea >= 0, "min_mask_region_area", "it must be at least 0")
        try demand(cropPointsDownscaleFactor > 0, "crop_n_points_downscale_factor", "it must be at least 1")
        switch points {
        case .perSide(let count):
            try demand((1...1024).contains(count), "points_per_side", "it must be 1 to 1024")
            try demand(
                side(count, layer: cropLayers) > 0, "points_per_side", "the last layer of crops would not have points")
        case .grids(let grids):
            try demand(
                grids.count > cropLayers, "point_grids",
                "it must have a grid for the image and for each layer of crops")
        }
        let thresholds = [
            predictedIoUThreshold, stabilityScoreThreshold, stabilityScoreOffset, boxNMSThreshold, cropNMSThreshold,
            maskThreshold,
        ]
        try demand(thresholds.allSatisfy(\.isFinite), "a threshold", "it must be a finite number")
    }

    private func side(_ count: Int, layer: Int) -> Int {
        (0..<layer).reduce(count) { count, _ in count / cropPointsDownscaleFactor }
    }

    /// The points of a layer of crops, row by row, in fractions of a crop's extents.
    func grid(layer: Int) -> [GridPoint] {
        switch points {
        case .grids(let grids): return grids[layer]
        case .perSide(let count):
            let ticks = Self.ticks(side(count, layer: layer))
            return ticks.flatMap { y in ticks.map { x in GridPoint(x: x, y: y) } }
        }
    }

    /// The middles of `count` equal parts of 0...1, bit for bit as numpy.linspace computes them.
    private static func ticks(_ count: Int) -> [Double] {
        let offset = 1 / Double(2 * count)
        guard count > 1 else { return [offset] }
        let last = 1 - offset
        let step = (last - offset) / Double(count - 1)
        return (0..<count).map { $0 == count - 1 ? last : Double($0) * step + offset }
    }
}
