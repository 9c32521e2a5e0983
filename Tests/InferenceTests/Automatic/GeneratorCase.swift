// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Testing

/// A case of `Golden/automatic-masks.json`: the input of the reference's generator and its result.
struct GeneratorCase: Decodable, Sendable, CustomTestStringConvertible {
    struct Crop: Decodable, Sendable {
        /// Three masks for every point, in order: seven numbers each, from which `plane` computes
        /// logits.
        let masks: [[Int]]
        let scores: [Double]
    }

    /// A mask in the reference's result.
    struct Record: Decodable, Sendable {
        struct Segmentation: Decodable, Sendable {
            let size: [Int]
            let counts: [Int]
        }

        let segmentation: Segmentation
        let area: Int
        let bbox: [Double]
        let predictedIoU: Double
        let pointCoordinates: [[Double]]
        let stabilityScore: Double?
        let cropBox: [Int]

        enum CodingKeys: String, CodingKey {
            case segmentation, area, bbox
            case predictedIoU = "predicted_iou"
            case pointCoordinates = "point_coords"
            case stabilityScore = "stability_score"
            case cropBox = "crop_box"
        }
    }

    let name: String
    let size: [Int]
    /// The extent of the logits that the stand-in for the network gave, or `nil` if they have the
    /// crop's size.
    let low: Int?
    let input: Int
    let parameters: ReferenceParameters
    let crops: [Crop]
    let masks: [Record]

    var testDescription: String { name }

    static func all() throws -> [GeneratorCase] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let data = try Data(contentsOf: folder.appending(path: "Golden/automatic-masks.json"))
        return try JSONDecoder().decode([GeneratorCase].self, from: data)
    }

    /// The result of the part under test for the same candidates.
    func generated() throws -> [AutomaticMask] {
        let parameters = parameters.values
        let crops = try MaskCrop.all(height: size[0], width: size[1], parameters: parameters)
        precondition(crops.count == self.crops.count, "as many crops as the reference has")
        let found = zip(crops, self.crops).map { crop, candidates in
            var masks = CropMasks(crop, height: size[0], width: size[1], parameters: parameters)
            precondition(candidates.masks.count == 3 * crop.points.count, "as many points as the reference has")
            for (index, candidate) in candidates.masks.enumerated() {
                consider(crop.points[index / 3], Float(candidates.scores[index]), candidate, &masks)
            }
            return masks.finish()
        }
        return [AutomaticMask](of: found, parameters: parameters)
    }

    private func consider(_ point: GridPoint, _ score: Float, _ candidate: [Int], _ masks: inout CropMasks) {
        let (height, width) = (masks.crop.box.height, masks.crop.box.width)
        guard let low else {
            masks.consider(point, predictedIoU: score, logits: Self.plane(candidate, height, width))
            return
        }
        let transform = SamTransform(height: height, width: width, inputSize: input)
        let scaling = LogitScaling(
            low: low, input: input, resized: (transform.resizedHeight, transform.resizedWidth), crop: (height, width))
        Self.plane(candidate, low, low).withUnsafeBufferPointer { logits in
            guard let base = logits.baseAddress else { return }
            masks.consider(point, predictedIoU: score, low: base, scaling)
        }
    }

    /// The logits `[height, width]` of a candidate, exact in fp32, as `plane` of the script
    /// computes them.
    static func plane(_ candidate: [Int], _ height: Int, _ width: Int) -> [Float] {
        let (kind, cx, cy, a, b) = (candidate[0], candidate[1], candidate[2], candidate[3], candidate[4])
        let (level, grain) = (candidate[5], candidate[6])
        return (0..<height * width).map { index in
            let (y, x) = (index / width, index % width)
            switch kind {
            case 0:
                let slope = a * (x - cx) * (x - cx) + b * (y - cy) * (y - cy)
                return Float(level - slope + grain * ((7 * x + 13 * y) % 11 - 5)) / 64
            case 1:
                let isInside = x >= cx && x < cx + a && y >= cy && y < cy + b
                return isInside ? (x < cx + level ? 2 : 0.5) : -3
            default: return kind == 2 ? -5 : -0.5
            }
        }
    }
}

/// Parameters by the names of the reference.
struct ReferenceParameters: Decodable, Sendable {
    let values: AutomaticMaskParameters

    private enum CodingKeys: String, CodingKey {
        case points_per_side, points_per_batch, pred_iou_thresh, stability_score_thresh, stability_score_offset
        case box_nms_thresh, crop_n_layers, crop_nms_thresh, crop_overlap_ratio, crop_n_points_downscale_factor
        case point_grids, min_mask_region_area
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        var values = AutomaticMaskParameters()
        func read<Value: Decodable>(_ key: CodingKeys, _ set: (Value) -> Void) throws {
            if let value = try container.decodeIfPresent(Value.self, forKey: key) { set(value) }
        }
        try read(.points_per_side) { values.points = .perSide($0) }
        try read(.points_per_batch) { values.pointsPerBatch = $0 }
        try read(.pred_iou_thresh) { values.predictedIoUThreshold = $0 }
        try read(.stability_score_thresh) { values.stabilityScoreThreshold = $0 }
        try read(.stability_score_offset) { values.stabilityScoreOffset = $0 }
        try read(.box_nms_thresh) { values.boxNMSThreshold = $0 }
        try read(.crop_n_layers) { values.cropLayers = $0 }
        try read(.crop_nms_thresh) { values.cropNMSThreshold = $0 }
        try read(.crop_overlap_ratio) { values.cropOverlapRatio = $0 }
        try read(.crop_n_points_downscale_factor) { values.cropPointsDownscaleFactor = $0 }
        try read(.min_mask_region_area) { values.minimumRegionArea = $0 }
        try read(.point_grids) { (grids: [[[Double]]]) in
            values.points = .grids(grids.map { $0.map { GridPoint(x: $0[0], y: $0[1]) } })
        }
        self.values = values
    }
}
