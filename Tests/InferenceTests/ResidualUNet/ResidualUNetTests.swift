// SPDX-License-Identifier: Apache-2.0

import Inference
import Testing

extension InferenceSuites {
    /// Compares whole networks, stage by stage, with `training/networks/residual_unet.py`.
    ///
    /// Values are of order 10 after ten layers, and each layer adds a few units in the last place: 2e-5 of the largest.
    @Suite struct ResidualUNetTests {
        struct Facts: Decodable { let stages: [String] }

        init() throws { try Compute.startWithAnyThreads() }

        @Test(arguments: ["unet2d", "unet3d"])
        func `every stage has the output that PyTorch gives`(name: String) throws {
            let golden = try Golden(name)
            let network = try ResidualUNet(golden.file, precision: .fp32)
            var stages = [String]()
            _ = try network(golden.file.tensor("input").channelsLast()) { stage, output in
                stages.append(stage)
                let reference = try? golden.file.tensor("stage.\(stage)")
                #expect(reference.map { difference(output.channelsFirst(), $0) < 2e-5 } == true, "\(name) \(stage)")
            }
            #expect(stages == (try golden.facts(Facts.self).stages))
        }

        @Test(.needsBF16, arguments: ["unet2d", "unet3d"])
        func `in bf16 logits stay near those of fp32`(name: String) throws {
            let golden = try Golden(name)
            let logits = try ResidualUNet(golden.file, precision: .bf16)(golden.file.tensor("input").channelsLast())
            // Ten layers of operands with 8 bits.
            #expect(difference(logits.channelsFirst(), try golden.file.tensor("stage.logits")) < 0.1)
        }

        @Test(arguments: ["unet2d", "unet3d"])
        func `the same input gives the same bits, whatever ran in between`(name: String) throws {
            let golden = try Golden(name)
            let network = try ResidualUNet(golden.file, precision: .fp32)
            let input = try golden.file.tensor("input").channelsLast()
            let first = try network(input)
            let size = input.size.map { $0 + network.architecture.totalStride }
            let other = [1] + size + [network.architecture.channels]
            _ = try network(Tensor(shape: other, values: [Float](repeating: 0.5, count: other.reduce(1, *))))
            #expect(try network(input) == first)
        }

        @Test func `images of a batch do not see each other`() throws {
            let golden = try Golden("unet2d")
            let network = try ResidualUNet(golden.file, precision: .fp32)
            let input = try golden.file.tensor("input").channelsLast()
            let pair = Tensor(
                shape: [2] + input.shape.dropFirst(), values: input.values + input.values.map { 1 - $0 })
            let both = try network(pair)
            let alone = try network(input)
            #expect(difference(Array(both.values.prefix(alone.count)), alone.values) < 1e-6)
        }

        @Test func `a file of another network is refused by name`() throws {
            let golden = try Golden("layers")
            #expect(throws: WeightFileError.self) { try ResidualUNet(golden.file, precision: .fp32) }
        }
    }
}
