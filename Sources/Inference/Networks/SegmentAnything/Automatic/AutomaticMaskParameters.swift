// SPDX-License-Identifier: Apache-2.0

/// Why masks cannot be generated with these parameters.
public enum AutomaticMaskError: Error, Sendable, Hashable, CustomStringConvertible {
    /// `name` as the reference spells it.
    case parameter(String, reason: String)

    public var description: String {
        switch self {
        case .parameter(let name, let reason): "\(name) of automatic mask generation: \(reason)"
        }
    }
}

/// What automatic mask generation asks and keeps; names and defaults of segment-anything 1.0's
/// SamAutomaticMaskGenerator. Its defaults were chosen for ViT-H.
public struct AutomaticMaskParameters: Sendable, Hashable, Codable {
    /// Where points are set.
    public enum Points: Sendable, Hashable, Codable {
        /// So many on each side of the image: points_per_side.
        case perSide(Int)
        /// For each layer of crops, in fractions of the crop's extents: point_grids.
        case grids([[GridPoint]])
    }

    public var points = Points.perSide(32)
    public var pointsPerBatch = 64
    /// A mask is kept when its predicted IoU is greater. 0 or less keeps all.
    public var predictedIoUThreshold = 0.88
    /// A mask is kept when its stability score is at least that. 0 or less keeps all.
    public var stabilityScoreThreshold = 0.95
    /// By how much the cut is moved both ways to see how stable a mask is.
    public var stabilityScoreOffset = 1.0
    /// Of boxes in a crop that overlap by more (IoU) only the one with the best predicted IoU is kept.
    public var boxNMSThreshold = 0.7
    /// Layers of crops beside the whole image; layer n has 4 to the power of n crops.
    public var cropLayers = 0
    /// Of boxes of different crops that overlap by more (IoU) the one of the smallest crop is kept.
    public var cropNMSThreshold = 0.7
    /// By how much crops overlap in the first layer, a part of the image's shorter side; less in later ones.
    public var cropOverlapRatio = 512.0 / 1500.0
    /// Points on a side of layer n are divided by this to the power of n.
    public var cropPointsDownscaleFactor = 1
    /// Holes and islands with fewer pixels are removed; 0 removes none.
    public var minimumRegionArea = 0
    /// Logits above are inside the mask.
    public var maskThreshold = 0.0

    public init() {}

    /// - Throws: `AutomaticMaskError.parameter`.
    func check() throws(AutomaticMaskError) {
        func demand(_ holds: Bool, _ name: String, _ reason: String) throws(AutomaticMaskError) {
            if !holds { throw .parameter(name, reason: reason) }
        }
        try demand(pointsPerBatch > 0, "points_per_batch", "it is at least 1")
        try demand((0...6).contains(cropLayers), "crop_n_layers", "it is 0 to 6")
        try demand((0..<1).contains(cropOverlapRatio), "crop_overlap_ratio", "it is at least 0 and less than 1")
        try demand(minimumRegionArea >= 0, "min_mask_region_area", "it is at least 0")
        try demand(cropPointsDownscaleFactor > 0, "crop_n_points_downscale_factor", "it is at least 1")
        switch points {
        case .perSide(let count):
            try demand((1...1024).contains(count), "points_per_side", "it is 1 to 1024")
            try demand(side(count, layer: cropLayers) > 0, "points_per_side", "the last layer of crops has no points")
        case .grids(let grids):
            try demand(grids.count > cropLayers, "point_grids", "there is one for the image and each layer of crops")
        }
        let thresholds = [
            predictedIoUThreshold, stabilityScoreThreshold, stabilityScoreOffset, boxNMSThreshold, cropNMSThreshold,
            maskThreshold,
        ]
        try demand(thresholds.allSatisfy(\.isFinite), "a threshold", "it is a number")
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

    /// numpy.linspace from the middle of the first of `count` parts to that of the last, bit for bit.
    private static func ticks(_ count: Int) -> [Double] {
        let offset = 1 / Double(2 * count)
        guard count > 1 else { return [offset] }
        let last = 1 - offset
        let step = (last - offset) / Double(count - 1)
        return (0..<count).map { $0 == count - 1 ? last : Double($0) * step + offset }
    }
}
