// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Testing

/// Everything but the network, against segment-anything's own generator fed the same logits and scores
/// (`training/automatic_masks.py`): the lists are identical.
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
