// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Testing

/// Compares everything except the network with segment-anything's generator, which got the same
/// logits and scores.
///
/// The lists are identical. They come from training/references/golden_automatic_masks.py.
@Suite struct AutomaticMaskTests {
    @Test(arguments: try GeneratorCase.all()) func `the reference's list is found, mask for mask`(
        example: GeneratorCase
    ) throws {
        let masks = try example.generated()
        #expect(masks.count == example.masks.count)
        for (found, expected) in zip(masks, example.masks) {
            #expect(found.segmentation.counts == expected.segmentation.counts)
            #expect([found.segmentation.height, found.segmentation.width] == expected.segmentation.size)
            #expect(found.area == expected.area)
            #expect(found.box.xywh == expected.bbox.map { Int($0) })
            #expect(found.predictedIoU == Float(expected.predictedIoU))
            #expect([[found.point.x, found.point.y]] == expected.pointCoordinates)
            // 0/0, which a threshold of 0 lets pass, is null.
            #expect(expected.stabilityScore.map { found.stabilityScore == Float($0) } ?? found.stabilityScore.isNaN)
            #expect(found.cropBox.xywh == expected.cropBox)
        }
    }

    /// Masks of two rows from column x0 to x1 (inclusive) in a crop of 12 x 4; the predicted IoU
    /// falls from mask to mask.
    private func rectangles(_ ends: [(x0: Int, x1: Int)], _ change: (inout AutomaticMaskParameters) -> Void) throws
        -> [AutomaticMask]
    {
        var parameters = AutomaticMaskParameters()
        change(&parameters)
        let crop = try MaskCrop.all(height: 4, width: 12, parameters: parameters)[0]
        var masks = CropMasks(crop, height: 4, width: 12, parameters: parameters)
        for (index, (x0, x1)) in ends.enumerated() {
            let logits = (0..<48).map { Float($0 / 12 < 2 && (x0...x1).contains($0 % 12) ? 9 : -9) }
            masks.consider(GridPoint(x: 0, y: 0), predictedIoU: 0.99 - Float(index) / 100, logits: logits)
        }
        return masks.finish()
    }

    @Test func `a box is dropped when it overlaps by more than the threshold, compared in double precision`() throws {
        // Boxes 0...8 and 4...8 of one row's height: 4 of 8 pixels.
        let half = [(x0: 0, x1: 8), (x0: 4, x1: 8)]
        #expect(try rectangles(half) { $0.boxNMSThreshold = 0.5 }.count == 2)
        #expect(try rectangles(half) { $0.boxNMSThreshold = 0.4999 }.count == 1)
        // 3 of 10: the quotient in fp32 is a little more than 0.3.
        let three = [(x0: 0, x1: 8), (x0: 5, x1: 10)]
        #expect(try rectangles(three) { $0.boxNMSThreshold = 0.3 }.count == 1)
        #expect(try rectangles(three) { $0.boxNMSThreshold = Double(Float(0.3)) }.count == 2)
    }

    @Test func `without small regions masks are compared by the larger of both thresholds`() throws {
        // 8 of 9: more than one threshold, less than the other.
        let masks = try rectangles([(x0: 0, x1: 9), (x0: 0, x1: 8)]) { $0.boxNMSThreshold = 0.95 }
        try #require(masks.count == 2)
        for (box, crop) in [(0.95, 0.5), (0.5, 0.95), (0.5, 0.6)] {
            var parameters = AutomaticMaskParameters()
            (parameters.boxNMSThreshold, parameters.cropNMSThreshold) = (box, crop)
            parameters.minimumRegionArea = 1
            #expect([AutomaticMask](of: [masks], parameters: parameters).count == (max(box, crop) > 0.9 ? 2 : 1))
        }
    }

    @Test func `thresholds of 0 accept every mask, and NaN counts as the best`() throws {
        var parameters = AutomaticMaskParameters()
        (parameters.predictedIoUThreshold, parameters.stabilityScoreThreshold) = (0, 0)
        let crop = try MaskCrop.all(height: 2, width: 12, parameters: parameters)[0]
        var masks = CropMasks(crop, height: 2, width: 12, parameters: parameters)
        let scores: [Float] = [0.5, -1, .nan, 0.9, .nan, 0.5]
        for (index, score) in scores.enumerated() {
            // Two pixels each, apart; the second is empty, with a stability of 0/0.
            let logits = (0..<24).map { Float($0 % 12 / 2 == index && index != 1 ? 9 : -9) }
            #expect(masks.accepts(predictedIoU: score))
            masks.consider(GridPoint(x: Double(index), y: 0), predictedIoU: score, logits: logits)
        }
        let found = masks.finish()
        #expect(found.map(\.point.x) == [2, 4, 3, 0, 5, 1])
        #expect(found.last?.stabilityScore.isNaN == true && found.last?.area == 0)
        (parameters.predictedIoUThreshold, parameters.stabilityScoreThreshold) = (1e-9, 1e-9)
        masks = CropMasks(crop, height: 2, width: 12, parameters: parameters)
        #expect(!masks.accepts(predictedIoU: 0) && !masks.accepts(predictedIoU: .nan))
        masks.consider(GridPoint(x: 0, y: 0), predictedIoU: 1, logits: [Float](repeating: -9, count: 24))
        #expect(masks.finish().isEmpty)
    }

    @Test func `run lengths give back their pixels`() {
        for (height, width) in [(1, 1), (1, 7), (5, 1), (6, 40), (33, 70)] {
            for step in [1, 2, 3, 7, 1000] {
                let pixels = (0..<height * width).map { UInt8(($0 / step) % 2) }
                for pixels in [pixels, pixels.map { 1 - $0 }] {
                    let runs = RunLengths(height: height, width: width, pixels: pixels)
                    #expect(runs.pixels == pixels)
                    #expect(runs.area == pixels.count { $0 == 1 })
                    #expect(runs.counts.dropFirst().allSatisfy { $0 > 0 })
                }
            }
        }
    }

    @Test func `impossible parameters are refused by the reference's name`() {
        let changes: [(String, (inout AutomaticMaskParameters) -> Void)] = [
            ("points_per_side", { $0.points = .perSide(0) }),
            ("points_per_batch", { $0.pointsPerBatch = 0 }),
            ("point_grids", { ($0.points, $0.cropLayers) = (.grids([[]]), 1) }),
            ("crop_n_layers", { $0.cropLayers = -1 }),
            ("crop_overlap_ratio", { $0.cropOverlapRatio = 1 }),
            ("crop_n_points_downscale_factor", { $0.cropPointsDownscaleFactor = 0 }),
            ("min_mask_region_area", { $0.minimumRegionArea = -1 }),
        ]
        for (name, change) in changes {
            var parameters = AutomaticMaskParameters()
            change(&parameters)
            let error = #expect(throws: AutomaticMaskError.self) {
                try MaskCrop.all(height: 10, width: 10, parameters: parameters)
            }
            #expect(error?.description.hasPrefix(name) == true)
        }
    }

    @Test func `the smallest images have crops with pixels only`() throws {
        var parameters = AutomaticMaskParameters()
        parameters.cropLayers = 2
        for (height, width) in [(1, 1), (1, 4000), (3, 2)] {
            let crops = try MaskCrop.all(height: height, width: width, parameters: parameters)
            #expect(crops[0].box == PixelBox(x0: 0, y0: 0, x1: width, y1: height))
            #expect(crops.allSatisfy { $0.box.width > 0 && $0.box.height > 0 && $0.points.count == 1024 })
        }
    }
}

extension PixelBox {
    /// `[x, y, width, height]`, as in the reference's records.
    fileprivate var xywh: [Int] { [x0, y0, width, height] }
}
