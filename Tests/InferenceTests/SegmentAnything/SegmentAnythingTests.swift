// SPDX-License-Identifier: Apache-2.0

import Inference
import Testing

extension InferenceSuites {
    /// Compares scaled-down networks, whose tensors are all drawn, with the package
    /// segment-anything.
    ///
    /// The reference's numbers come from training/references/golden_sam.py. Errors are norms of
    /// differences divided by norms. The embedding may differ by 5e-5, logits and predicted IoU by
    /// 1e-4: fp32 sums in another order.
    @Suite struct SegmentAnythingTests {
        init() throws { try Compute.startWithAnyThreads() }

        @Test(arguments: DrawnSam.names)
        func `every stage of the image encoder has the output of the reference`(name: String) throws {
            let drawn = try DrawnSam(name)
            var stages = Set<String>()
            let embedding = try drawn.network().embed(drawn.picture) { stage, output in
                guard let stride = drawn.facts.strides[stage] else { return }
                stages.insert(stage)
                let sample = Swift.stride(from: 0, to: output.count, by: stride).map { output.values[$0] }
                let reference = try? drawn.golden.file.tensor("stage.\(stage)").values
                #expect(error(sample, reference ?? []) < 5e-5, "\(name) \(stage)")
            }
            #expect(stages == Set(drawn.facts.strides.keys))
            #expect(error(embedding.values.values, try drawn.embedding().values.values) < 5e-5)
        }

        @Test(arguments: DrawnSam.withPositions)
        func `without relative positions the same comparison fails`(name: String) throws {
            let drawn = try DrawnSam(name)
            let zeroed = try drawn.weights { name, values in
                name.contains("rel_pos") || name.contains("attention_biases") ? values.map { _ in 0 } : values
            }
            let network = try SegmentAnything(zeroed, precision: .fp32, inputSize: drawn.facts.size)
            let embedding = try network.embed(drawn.picture)
            #expect(error(embedding.values.values, try drawn.embedding().values.values) > 1e-3)
        }

        @Test(arguments: DrawnSam.names)
        func `every kind of prompt gets the logits and the predicted IoU of the reference`(name: String) throws {
            let drawn = try DrawnSam(name)
            let network = try drawn.network()
            let embedding = try network.embed(drawn.picture)
            for question in drawn.facts.prompts.keys.sorted() {
                let (prompt, multimask) = try drawn.prompt(question)
                let answer = try #require(try network.decode(embedding, [prompt], multimask: multimask).first)
                let logits = try drawn.golden.file.tensor("\(question).logits")
                let iou = try drawn.golden.file.tensor("\(question).iou").values
                #expect(answer.logits.shape == logits.shape)
                #expect(error(answer.logits.values, logits.values) < 1e-4, "\(name) \(question)")
                #expect(error(answer.predictedIoU, iou) < 1e-4, "\(name) \(question)")
                #expect(differentPixels(answer.logits.values, logits.values, margin: 1e-3) == 0)
            }
        }

        @Test(arguments: DrawnSam.names)
        func `many prompts at once get the answers that each gets alone`(name: String) throws {
            let drawn = try DrawnSam(name)
            let network = try drawn.network()
            let embedding = try drawn.embedding()
            let kinds = try drawn.facts.prompts.keys.sorted().map { try drawn.prompt($0).prompt }
            let points = (0..<20).map { index in
                Prompt(points: [PromptPoint(x: Float(index * 5 % drawn.facts.size), y: Float(index * 3))])
            }
            let prompts = kinds + points
            let together = try network.decode(embedding, prompts, multimask: true)
            #expect(together.count == prompts.count)
            for (prompt, answer) in zip(prompts, together) {
                let alone = try #require(try network.decode(embedding, [prompt], multimask: true).first)
                #expect(error(answer.logits.values, alone.logits.values) < 1e-5)
                #expect(error(answer.predictedIoU, alone.predictedIoU) < 1e-5)
            }
        }

        @Test func `refused prompts do not get logits, and the other answers stay the same`() throws {
            let drawn = try DrawnSam("sam_vit")
            let network = try drawn.network()
            let embedding = try drawn.embedding()
            let prompts = (0..<20).map { Prompt(points: [PromptPoint(x: Float($0 * 12), y: Float($0 * 9))]) }
            let all = try network.decode(embedding, prompts, multimask: true)
            let median = all.map { $0.predictedIoU[0] }.sorted()[10]
            let some = try network.decode(embedding, prompts, multimask: true) { $0[0] < median }
            #expect(some == all.map { $0.predictedIoU[0] < median ? $0 : nil })
        }

        /// Convolutions in bf16 need the processor's instructions; transformers do not.
        @Test(arguments: DrawnSam.names.filter { $0 != "sam_convolutional" || Compute.available.contains(.bf16) })
        func `in bf16 the error is at most 1.2 times that of PyTorch's autocast`(name: String) throws {
            let drawn = try DrawnSam(name)
            let network = try drawn.network(.bf16)
            let embedding = try network.embed(drawn.picture)
            let encoderError = error(embedding.values.values, try drawn.embedding().values.values)
            #expect(encoderError < 1.2 * (try #require(drawn.facts.bf16["embedding"])))
            for question in drawn.facts.prompts.keys.sorted() {
                let (prompt, multimask) = try drawn.prompt(question)
                let answer = try #require(try network.decode(embedding, [prompt], multimask: multimask).first)
                let logits = try drawn.golden.file.tensor("\(question).logits").values
                let found = error(answer.logits.values, logits)
                #expect(found < 1.2 * (try #require(drawn.facts.bf16[question])), "\(name) \(question) \(found)")
            }
        }

        @Test(arguments: DrawnSam.names)
        func `the same input gives the same bits, whatever ran in between`(name: String) throws {
            let drawn = try DrawnSam(name)
            let network = try drawn.network()
            let first = try network.embed(drawn.picture)
            let point = try drawn.prompt("point").prompt
            let answers = try network.decode(first, [point], multimask: true)
            let dark = Tensor(shape: drawn.picture.shape, values: [Float](repeating: 0, count: drawn.picture.count))
            _ = try network.decode(network.embed(dark), [point, try drawn.prompt("box").prompt], multimask: false)
            #expect(try network.embed(drawn.picture) == first)
            #expect(try network.decode(first, [point], multimask: true) == answers)
        }

        @Test func `the sizes follow from the tensors`() throws {
            let network = try DrawnSam("sam_vit").network()
            #expect(network.inputSize == 256)
            #expect(network.embeddingSize == 16)
            #expect(network.lowResolutionSize == 64)
        }

        @Test(arguments: DrawnSam.names)
        func `a tensor that is missing is named`(name: String) throws {
            let drawn = try DrawnSam(name)
            let names = drawn.facts.shapes.keys.sorted()
            // Every seventh tensor covers all layers and all kinds of tensors.
            for missing in stride(from: 0, to: names.count, by: 7).map({ names[$0] }) {
                let rest = try drawn.weights { $0 == missing ? nil : $1 }
                let failure = #expect(throws: (any Error).self) {
                    try SegmentAnything(rest, precision: .fp32, inputSize: drawn.facts.size)
                }
                // Without its first tensor, another network is taken for a ViT, which then lacks
                // another tensor.
                if missing.hasSuffix("patch_embed.seq.0.c.weight") || missing.hasSuffix("encoder.0.down.conv.weight") {
                    continue
                }
                #expect("\(failure.map { "\($0)" } ?? "")".contains(missing), "\(missing)")
            }
        }

        @Test func `a tensor of another shape is named with both shapes`() throws {
            let drawn = try DrawnSam("sam_vit")
            var shapes = drawn.facts.shapes
            shapes["mask_decoder.transformer.layers.1.norm2.weight"] = [255]
            let weights = try DrawnWeights.checkpoint(shapes)
            #expect(
                throws: WeightFileError.shape(
                    "mask_decoder.transformer.layers.1.norm2.weight", expected: [256], found: [255])
            ) { try SegmentAnything(weights, precision: .fp32) }
        }

        @Test func `inputs, embeddings and masks of another size are refused`() throws {
            let drawn = try DrawnSam("sam_vit")
            let network = try drawn.network()
            let small = Tensor(shape: [1, 8, 8, 3], values: [Float](repeating: 0, count: 192))
            #expect(throws: SegmentAnythingError.self) { try network.embed(small) }
            #expect(throws: SegmentAnythingError.self) {
                try network.decode(ImageEmbedding(values: small), [Prompt()], multimask: false)
            }
            let embedding = try drawn.embedding()
            #expect(throws: SegmentAnythingError.self) {
                try network.decode(embedding, [Prompt(mask: small)], multimask: false)
            }
            let nowhere = Prompt(points: [PromptPoint(x: .nan, y: 0)])
            #expect(throws: SegmentAnythingError.notFinite) {
                try network.decode(embedding, [nowhere], multimask: false)
            }
        }
    }
}

/// The number of pixels whose sign differs, among those whose reference is further from 0 than
/// `margin` standard deviations.
private func differentPixels(_ found: [Float], _ reference: [Float], margin: Float) -> Int {
    let mean = reference.reduce(0, +) / Float(reference.count)
    let variance = reference.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(reference.count)
    let least = margin * variance.squareRoot()
    return zip(found, reference).count { abs($1) > least && ($0 > 0) != ($1 > 0) }
}
