// SPDX-License-Identifier: Apache-2.0

import Inference
import Testing

extension InferenceSuites {
    /// Compares a scaled-down SAM 2 on single images with the package sam2.
    ///
    /// Errors are norms of differences divided by norms. Features may differ by 5e-5, logits and predicted IoU by 1e-4:
    /// fp32 sums in another order. An input changed by 1e-6 moves features by 3e-6 and logits by 3e-6.
    @Suite struct SegmentAnything2Tests {
        init() throws { try Compute.startWithAnyThreads() }

        @Test(arguments: DrawnSam2.names)
        func `every level of the image encoder has the output of the reference`(name: String) throws {
            let drawn = try DrawnSam2(name)
            var levels = [String: Tensor]()
            let features = try drawn.network().encode(drawn.frame(drawn.facts.key)) { levels[$0] = $1 }
            levels["s0"] = features.s0
            levels["s1"] = features.s1
            levels["vision"] = features.vision
            #expect(levels.count == 7)
            for (level, output) in levels {
                let reference = try drawn.golden.file.tensor("stage.\(level)").values
                #expect(error(try drawn.sample(output.values, "stage.\(level)"), reference) < 5e-5, "\(level)")
            }
        }

        @Test(arguments: ["trunk.pos_embed", "trunk.pos_embed_window", "neck.convs.0.conv.weight", "attn.qkv.bias"])
        func `without a part of the image encoder the same comparison fails`(part: String) throws {
            let drawn = try DrawnSam2("sam2_1")
            let network = try drawn.network { name, values in
                name.hasSuffix(part) ? values.map { _ in 0 } : values
            }
            let vision = try network.encode(drawn.frame(drawn.facts.key)).vision
            let reference = try drawn.golden.file.tensor("stage.vision").values
            #expect(error(try drawn.sample(vision.values, "stage.vision"), reference) > 1e-3)
        }

        @Test(arguments: DrawnSam2.names)
        func `every kind of prompt gets the logits and the predicted IoU of the reference`(name: String) throws {
            let drawn = try DrawnSam2(name)
            let network = try drawn.network()
            let features = try network.encode(drawn.frame(drawn.facts.key))
            for question in drawn.facts.prompts.keys.sorted() {
                let (prompt, multimask) = try drawn.prompt(question)
                let answer = try network.decode(features, prompt, multimask: multimask)
                let logits = try drawn.golden.file.tensor("image.\(question).logits")
                let iou = try drawn.golden.file.tensor("image.\(question).iou").values
                #expect(answer.logits.shape == logits.shape)
                #expect(error(answer.logits.values, logits.values) < 1e-4, "\(question)")
                #expect(error(answer.predictedIoU, iou) < 1e-4, "\(question)")
            }
        }

        @Test func `in bf16 the error is at most 1.2 times that of PyTorch's autocast`() throws {
            let drawn = try DrawnSam2("sam2_1")
            let network = try drawn.network(.bf16)
            let features = try network.encode(drawn.frame(drawn.facts.key))
            for (level, output) in [("s0", features.s0), ("s1", features.s1), ("vision", features.vision)] {
                let reference = try drawn.golden.file.tensor("stage.\(level)").values
                let found = error(try drawn.sample(output.values, "stage.\(level)"), reference)
                #expect(found < 1.2 * (try #require(drawn.facts.bf16["stage.\(level)"])), "\(level) \(found)")
            }
            for question in drawn.facts.prompts.keys.sorted() {
                let (prompt, multimask) = try drawn.prompt(question)
                let answer = try network.decode(features, prompt, multimask: multimask)
                let logits = try drawn.golden.file.tensor("image.\(question).logits").values
                let found = error(answer.logits.values, logits)
                #expect(found < 1.2 * (try #require(drawn.facts.bf16["image.\(question)"])), "\(question) \(found)")
            }
        }

        @Test func `the sizes follow from the input`() throws {
            let network = try DrawnSam2("sam2_1").network()
            #expect(network.inputSize == 128)
            #expect(network.embeddingSize == 8)
            #expect(network.lowResolutionSize == 32)
            #expect(network.channels == 64)
        }

        @Test func `a tensor that is missing is named`() throws {
            let drawn = try DrawnSam2("sam2_1")
            // The network works without the tensors that SAM 2.1 added, as SAM 2.0, and nothing uses no_mem_pos_enc.
            let unused = [
                "no_mem_pos_enc", "no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias",
            ]
            let names = drawn.facts.shapes.keys.filter { !unused.contains($0) }.sorted()
            // Every eleventh tensor covers all layers and all kinds of tensors.
            for missing in stride(from: 0, to: names.count, by: 11).map({ names[$0] }) {
                let failure = #expect(throws: (any Error).self) {
                    try drawn.network { name, values in name == missing ? nil : values }
                }
                #expect("\(failure.map { "\($0)" } ?? "")".contains(missing), "\(missing)")
            }
        }

        @Test func `inputs, features and prompts of another size are refused`() throws {
            let drawn = try DrawnSam2("sam2_1")
            let network = try drawn.network()
            let small = Tensor(shape: [1, 8, 8, 3], values: [Float](repeating: 0, count: 192))
            #expect(throws: SegmentAnythingError.self) { try network.encode(small) }
            let features = try network.encode(drawn.frame(0))
            let wrong = FrameFeatures(vision: features.vision, s1: features.s0, s0: features.s0)
            #expect(throws: SegmentAnythingError.self) { try network.decode(wrong, Prompt(), multimask: false) }
            #expect(throws: SegmentAnythingError.self) {
                try network.decode(features, Prompt(mask: small), multimask: false)
            }
            #expect(throws: SegmentAnythingError.notFinite) {
                try network.decode(features, Prompt(points: [PromptPoint(x: .nan, y: 0)]), multimask: false)
            }
        }

        @Test func `a network of a size that was not published is refused`() throws {
            let drawn = try DrawnSam2("sam2_1")
            let failure = #expect(throws: WeightFileError.self) {
                try SegmentAnything2(drawn.weights(), precision: .fp32, inputSize: 128)
            }
            #expect("\(failure.map { "\($0)" } ?? "")".contains("16 channels and 8 blocks"))
        }
    }
}
