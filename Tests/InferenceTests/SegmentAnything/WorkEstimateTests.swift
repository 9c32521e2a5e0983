// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Testing

extension InferenceSuites {
    @Suite struct WorkEstimateTests {
        /// A safetensors file of zeros with these tensors.
        private func file(_ shapes: [(String, [Int])]) throws -> SafeTensors {
            var end = 0
            let entries = shapes.map { name, shape -> String in
                let start = end
                end += 4 * shape.reduce(1, *)
                return #""\#(name)":{"dtype":"F32","shape":\#(shape),"data_offsets":[\#(start),\#(end)]}"#
            }
            let header = Data("{\(entries.joined(separator: ","))}".utf8)
            let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
            return try SafeTensors(length + header + Data(count: end))
        }

        @Test func `operations are counted from the shapes, windows with their padding`() throws {
            let encoder = "image_encoder."
            let weights = try file([
                (encoder + "pos_embed", [1, 16, 16, 8]), (encoder + "blocks.0.mlp.lin1.weight", [32, 8]),
                (encoder + "blocks.0.mlp.lin1.bias", [32]), (encoder + "blocks.0.attn.rel_pos_h", [27, 4]),
                (encoder + "blocks.0.attn.rel_pos_w", [27, 4]), (encoder + "blocks.1.attn.rel_pos_h", [31, 4]),
                ("mask_decoder.iou_token.weight", [1, 8]),
            ])
            let work = try WorkEstimate(weights, family: .sam)
            let products = 2.0 * 256 * 32 * 8
            // Two by two windows of 14 x 14 tokens, then all 16 x 16 tokens together; queries by
            // keys, and weights by values.
            let attention = 4.0 * 8 * (4 * 196 * 196 + 256 * 256)
            #expect(abs(work.encoder - products - 1.8 * attention) < 1)
            #expect(abs(work.decoder - 3.62e9 / 16) < 1)
        }

        @Test func `the convolutional encoder of medsam-compact is the least work`() throws {
            let work = try WorkEstimate(DrawnSam("sam_convolutional").weights(), family: .medsamCompact)
            #expect(work.encoder == 4.3e9 && work.decoder == 3.62e9 / 4)
        }

        @Test func `an encoder without positions is LiteMedSAM's`() throws {
            let file = try file([("image_encoder.layers.0.weight", [1])])
            #expect(try WorkEstimate(file, family: .liteMedSAM).encoder == 75e9)
        }

        /// Operations of SAM 2.1 T that a counter found in the reference: trunk and memory attention with seven
        /// memories, in which a product and its sum count as two. The reference computes padded windows too.
        @Test(arguments: [(ModelFamily.sam2, 284.7e9, 605.0e9 + 11.6e9), (.medsam2, 60.9e9, 48.2e9 + 2.9e9)])
        func `SAM 2 needs the work of trunk and memories`(family: ModelFamily, trunk: Double, memory: Double) throws {
            let tiny = "image_encoder.trunk."
            let weights = try file([
                (tiny + "patch_embed.proj.weight", [96, 3, 7, 7]), (tiny + "blocks.11.norm1.weight", [768]),
            ])
            let work = try WorkEstimate(weights, family: family)
            // Attention counts 1.8 times.
            #expect((0.7...1.8).contains(work.encoder / trunk))
            #expect((1...1.8).contains(work.memory / memory))
        }

        @Test func `positions of another rank are refused`() {
            #expect(throws: WeightFileError.self) {
                try WorkEstimate(file([("image_encoder.pos_embed", [16])]), family: .sam)
            }
        }

        @Test func `the speed of the kernels is a number of operations a second`() throws {
            try Compute.startWithAnyThreads()
            let speed = try Compute.measuredSpeed(seconds: 0.05)
            #expect(speed > 1e8 && speed < 1e14)
        }
    }
}
