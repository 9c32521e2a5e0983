// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Testing

extension InferenceSuites {
    /// Compares the whole way from the network's input to the list of masks with segment-anything,
    /// in fp32.
    ///
    /// The scaled-down network of training/references/shapes_sam.py has learned three drawn
    /// pictures. The reference's masks come from training/references/golden_shapes_masks.py.
    @Suite struct ShapesTests {
        /// The three pictures and the reference's masks.
        struct Facts: Decodable {
            struct Picture: Decodable {
                /// (height, width) of the picture.
                let size: [Int]
                let masks: [GeneratorCase.Record]
                /// Whether rounding cannot change the decision about a mask.
                let safe: [Bool]
            }

            let parameters: ReferenceParameters
            let pictures: [Picture]
        }

        let facts: Facts
        let network: SegmentAnything
        let inputs: SafeTensors

        init() throws {
            try Compute.startWithAnyThreads()
            let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            let data = try Data(contentsOf: folder.appending(path: "Golden/shapes-masks.json"))
            facts = try JSONDecoder().decode(Facts.self, from: data)
            network = try SegmentAnything(Golden("shapes-sam").file, precision: .fp32)
            inputs = try Golden("shapes-inputs").file
        }

        @Test(arguments: 0..<3) func `every safe mask of the reference is found, in the same order`(index: Int) throws {
            let picture = facts.pictures[index]
            let safe = zip(picture.masks, picture.safe).filter(\.1).map(\.0)
            try #require(safe.count >= 20, "fewer safe masks would prove nothing")
            let found = try masks(of: index)
            let pixels = found.map(\.segmentation.pixels)
            var places = [Int]()
            for expected in safe {
                let mask = RunLengths(
                    height: picture.size[0], width: picture.size[1], counts: expected.segmentation.counts)
                let expectedPixels = mask.pixels
                let best = found.indices.map { ($0, overlap(pixels[$0], expectedPixels)) }.max { $0.1 < $1.1 }
                let (place, score) = try #require(best)
                #expect(score >= 0.999, "\(expected.bbox)")
                #expect(abs(found[place].predictedIoU - Float(expected.predictedIoU)) < 1e-3)
                places.append(place)
            }
            #expect(places == places.sorted() && Set(places).count == places.count)
            // Rounding may only change the decision about masks that are not safe.
            #expect(found.count <= picture.masks.count + picture.safe.count { !$0 })
        }

        @Test func `progress is reported for every batch, and can stop the run`() throws {
            struct Stop: Error {}
            var steps = [[Int]]()
            _ = try masks(of: 0) { done, all in steps.append([done, all]) }
            #expect(steps == (1...4).map { [$0, 4] })
            #expect(throws: Stop.self) { try masks(of: 0) { _, _ in throw Stop() } }
        }

        private func masks(
            of index: Int, progress: (Int, Int) throws -> Void = { _, _ in }
        ) throws -> [AutomaticMask] {
            let size = facts.pictures[index].size
            let generator = try AutomaticMaskGenerator(network, facts.parameters.values)
            return try generator.masks(
                height: size[0], width: size[1],
                view: { crop in
                    #expect(crop == PixelBox(x0: 0, y0: 0, x1: size[1], y1: size[0]))
                    let transform = SamTransform(height: size[0], width: size[1], inputSize: network.inputSize)
                    return .init(embedding: try network.embed(input(index)), transform: transform)
                }, progress: progress)
        }

        /// The picture, normalised with SAM's mean and deviation, and padded on the right and
        /// below.
        private func input(_ index: Int) throws -> Tensor {
            let pixels = try inputs.tensor("\(index)")
            let (height, width, size) = (pixels.shape[0], pixels.shape[1], network.inputSize)
            let mean: [Float] = [123.675, 116.28, 103.53]
            let deviation: [Float] = [58.395, 57.12, 57.375]
            var values = [Float](repeating: 0, count: size * size * 3)
            for row in 0..<height {
                for place in 0..<width * 3 {
                    let value = pixels.values[row * width * 3 + place]
                    values[row * size * 3 + place] = (value - mean[place % 3]) / deviation[place % 3]
                }
            }
            return Tensor(shape: [1, size, size, 3], values: values)
        }

        /// Intersection over union.
        private func overlap(_ a: [UInt8], _ b: [UInt8]) -> Double {
            a.withUnsafeBufferPointer { a in
                b.withUnsafeBufferPointer { b in
                    var (common, either) = (0, 0)
                    for index in a.indices {
                        common += Int(a[index] & b[index])
                        either += Int(a[index] | b[index])
                    }
                    return either == 0 ? 1 : Double(common) / Double(either)
                }
            }
        }
    }
}
