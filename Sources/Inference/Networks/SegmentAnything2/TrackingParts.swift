// SPDX-License-Identifier: Apache-2.0

/// The parts of the work on a tracked frame, each by itself, for measurements.
///
/// The frame attends to as many memories and pointers as a frame in the middle of a long sequence does.
package final class TrackingParts {
    private let network: SegmentAnything2
    private let input: Tensor
    private let features: FrameFeatures
    private let logits: Tensor
    private let selection: MemorySelection
    private let embedding: [Float]
    private var bank = MemoryBank()

    private static let frames = 88
    private static let frame = 44

    /// Prepares the parts.
    ///
    /// - Parameters:
    ///   - network: the network; the parts run on its thread.
    ///   - input: `[1, inputSize, inputSize, 3]`; the frame, and the frames before it.
    /// - Throws: `SegmentAnythingError` or `ComputeError`.
    package init(_ network: SegmentAnything2, input: Tensor) throws {
        self.network = network
        self.input = input
        features = try network.encode(input)
        embedding = network.withoutMemory(features)
        let centre = Float(network.inputSize) / 2
        let point = Prompt(points: [PromptPoint(x: centre, y: centre, label: .foreground)])
        let answer = try network.decode(features, point, multimask: true)
        let side = network.lowResolutionSize
        logits = Tensor(shape: [1, side, side], values: Array(answer.logits.values.prefix(side * side)))
        let stored = FrameMemory(
            features: try network.memoryEncoder.encode(
                features.vision, logits: logits, isPresent: true, isPrompted: false),
            pointer: network.pointers.noObject, answer: nil)
        let first = Self.frame - ObjectPointers.most
        bank.storePrompted(stored, first)
        for frame in first + 1..<Self.frame { bank.storeTracked(stored, frame) }
        selection = MemorySelection(
            frame: Self.frame, isReverse: false, frames: Self.frames, prompted: [first],
            tracked: Set(first + 1..<Self.frame))
    }

    /// From the input to the features.
    package func encodeImage() throws { _ = try network.encode(input) }

    /// From features and stored memories to the image embedding with memories.
    package func attend() throws {
        let rows = try bank.rows(selection, network, frames: Self.frames)
        _ = try network.memoryAttention.apply(features.vision, rows)
    }

    /// From the image embedding to the best mask, the object score and the pointer.
    package func decode() throws {
        let decoding = try network.decoder.decode(
            embedding, features, tokens: network.prompts.paddedTokens(Prompt()), mask: nil
        ) { [MaskDecoding.best($0)] }
        _ = try network.pointers.pointer(Array(decoding.maskTokens.prefix(network.channels)))
    }

    /// From the mask to the frame's memory.
    package func encodeMemory() throws {
        _ = try network.memoryEncoder.encode(features.vision, logits: logits, isPresent: true, isPrompted: false)
    }
}
