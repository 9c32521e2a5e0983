// SPDX-License-Identifier: Apache-2.0
//
// One object in a sequence of frames: sam2/sam2_video_predictor.py (the newest one) and `track_step` of
// sam2/modeling/sam2_base.py of facebookresearch/sam2. MedSAM2's predictor gives the same numbers for one object. This
// file leaves out several objects at once, and `clear_non_cond_mem_around_input`, which is off in every configuration.

/// Follows one object through a sequence of frames, from prompts on some of them.
public final class ObjectTracker {
    /// The options of a tracker.
    public struct Options: Sendable, Hashable {
        /// Fills holes of at most 8 low-resolution pixels, as the reference does on CUDA only.
        public var fillsHoles = false
        /// Keeps the memories of all tracked frames.
        ///
        /// Without them, tracked frames cannot be corrected, and every pass has to start where the first one did.
        public var keepsHistory = true

        /// Creates the reference's options on a CPU.
        public init(fillsHoles: Bool = false, keepsHistory: Bool = true) {
            self.fillsHoles = fillsHoles
            self.keepsHistory = keepsHistory
        }
    }

    /// The number of frames of the sequence.
    public let frameCount: Int
    private let network: SegmentAnything2
    private let options: Options
    private let source: (Int) throws -> FrameFeatures
    private var bank = MemoryBank()
    /// Answers to prompts that tracking has not taken over yet, by whether they are prompted anew.
    private var waiting: (first: [(frame: Int, memory: FrameMemory)], corrections: [Int: FrameMemory]) = ([], [:])
    /// The direction in which each frame was tracked last; true is reverse.
    private var directions: [Int: Bool] = [:]
    private var latest: (frame: Int, features: FrameFeatures)?

    /// Creates a tracker.
    ///
    /// - Parameters:
    ///   - network: the network; the tracker runs on its thread.
    ///   - frameCount: the number of frames, at least 1.
    ///   - options: the options.
    ///   - features: gives the features of a frame; the tracker keeps those of the latest frame only.
    public init(
        _ network: SegmentAnything2, frameCount: Int, options: Options = Options(),
        features: @escaping (Int) throws -> FrameFeatures
    ) {
        precondition(frameCount > 0, "a sequence has frames")
        self.network = network
        self.frameCount = frameCount
        self.options = options
        source = features
    }

    /// The number of frames whose memories are stored.
    public var framesInMemory: Int { bank.framesInMemory }

    /// Forgets all prompts, memories and tracked frames.
    public func reset() {
        bank = MemoryBank()
        waiting = ([], [:])
        directions = [:]
    }

    /// Forgets what was tracked, and keeps the prompts.
    ///
    /// The next pass gives what it would give after `reset` and the same prompts in the same order, if no prompt
    /// corrected a tracked frame.
    public func forgetTracked() {
        takeOverWaiting()
        bank.dropTracked()
        directions = [:]
    }

    /// Prompts a frame with points, a box or both; they replace earlier points and boxes of the frame.
    ///
    /// An earlier answer of the frame goes in as a mask prompt. A frame that was tracked before attends to its
    /// memories, and its answer corrects the tracked one.
    ///
    /// - Parameters:
    ///   - prompt: points and box in pixels of the network's input; its mask is not used.
    ///   - frame: the index of the frame.
    /// - Returns: the answer.
    /// - Throws: `TrackingError`, `SegmentAnythingError`, `ComputeError`, or an error of the features' source.
    public func prompt(_ prompt: Prompt, frame: Int) throws -> TrackedFrame {
        try check(frame)
        try network.check(prompt)
        let points = prompt.points.count + (prompt.box == nil ? 0 : 2)
        guard points > 0 else { throw TrackingError.emptyPrompt }
        let features = try features(frame)
        let earlier = try earlierAnswer(frame).map { answer in
            Tensor(
                shape: [1, network.lowResolutionSize, network.lowResolutionSize, 1],
                values: answer.logits.values.map { min(max($0, -32), 32) })
        }
        let selection = directions[frame].map { self.selection(frame, isReverse: $0) }
        let decoded = try decode(
            features, frame, selection, tokens: network.prompts.paddedTokens(prompt), mask: earlier,
            multimask: points == 1)
        return try wait(decoded, features)
    }

    /// Prompts a frame with a mask, which becomes the frame's answer.
    ///
    /// - Parameters:
    ///   - mask: `[height, width]`, true inside the object; any size, stretched to the network's input.
    ///   - height: the number of rows.
    ///   - width: the number of columns.
    ///   - frame: the index of the frame.
    /// - Returns: the answer: logits of -10 and 10.
    /// - Throws: `TrackingError`, `ComputeError`, or an error of the features' source.
    public func prompt(mask: [Bool], height: Int, width: Int, frame: Int) throws -> TrackedFrame {
        try check(frame)
        precondition(mask.count == height * width && height > 0 && width > 0, "the mask has height * width pixels")
        _ = try earlierAnswer(frame)
        let features = try features(frame)
        let size = network.inputSize
        let stretched = Resampling.resize(mask.map { $0 ? 1 : 0 }, from: [height, width], to: [size, size])
        let binary: [Float] = stretched.map { $0 >= 0.5 ? 1 : 0 }
        let side = network.lowResolutionSize
        let logits = Resampling.resize(binary.map { 20 * $0 - 10 }, from: [size, size], to: [side, side])
        // The pointer comes from a decoder run on an embedding without the no-memory vector.
        let decoding = try network.decoder.decode(
            features.vision.values, features, tokens: network.prompts.paddedTokens(Prompt()),
            mask: network.maskPrompt(binary)
        ) { _ in [0] }
        let isPresent = binary.contains(1)
        let pointer = try self.pointer(decoding.maskTokens, mask: 0, decoding.objectScore > 0 && isPresent)
        let answer = TrackedFrame(
            frame: frame, logits: filled(Tensor(shape: [1, side, side], values: logits)),
            objectScore: isPresent ? 10 : -10, predictedIoU: 1, isPrompted: true, selection: nil)
        return try wait((answer, pointer), features)
    }

    /// Tracks the object from the earliest prompted frame on.
    ///
    /// Prompted frames give the answers to their prompts.
    ///
    /// - Parameters:
    ///   - isReverse: whether the tracking goes towards frame 0. From frame 0, there is nothing to track then.
    ///   - start: the first frame; `nil` means the earliest prompted frame.
    ///   - most: the largest number of frames behind the first one, or `nil`.
    ///   - onFrame: receives the answer of every frame, in order, and says whether the tracking goes on.
    /// - Throws: `TrackingError.noPrompt`, `.frame`, `ComputeError`, or an error of the source or of `onFrame`.
    public func track(
        isReverse: Bool = false, from start: Int? = nil, atMost most: Int? = nil,
        onFrame: (TrackedFrame) throws -> Bool
    ) throws {
        if let start { try check(start) }
        takeOverWaiting()
        guard let earliest = bank.prompted.map(\.frame).min() else { throw TrackingError.noPrompt }
        let first = start ?? earliest
        if isReverse, first == 0 { return }
        let last = isReverse ? max(first - (most ?? frameCount), 0) : min(first + (most ?? frameCount), frameCount - 1)
        for frame in stride(from: first, through: last, by: isReverse ? -1 : 1) {
            let answer: TrackedFrame
            if let prompted = bank.prompted(frame)?.answer {
                answer = prompted
            } else {
                answer = try step(frame, isReverse: isReverse)
                if !options.keepsHistory { bank.dropUnreachable(from: frame, start: first) }
            }
            directions[frame] = isReverse
            guard try onFrame(answer) else { return }
        }
    }

    // MARK: - Steps

    private func check(_ frame: Int) throws(TrackingError) {
        guard (0..<frameCount).contains(frame) else { throw .frame(frame, count: frameCount) }
    }

    /// The features of a frame; those of the latest frame are kept.
    private func features(_ frame: Int) throws -> FrameFeatures {
        if let latest, latest.frame == frame { return latest.features }
        latest = nil
        let features = try source(frame)
        try network.check(features)
        latest = (frame, features)
        return features
    }

    /// The most recent answer of a frame, or `nil`.
    private func earlierAnswer(_ frame: Int) throws(TrackingError) -> TrackedFrame? {
        let isTracked = directions[frame] != nil
        let newest = isTracked ? waiting.corrections[frame] : waiting.first.first { $0.frame == frame }?.memory
        if let newest { return newest.answer }
        if let prompted = bank.prompted(frame) { return prompted.answer }
        guard let tracked = bank.tracked[frame] else { return nil }
        guard tracked.answer != nil, options.keepsHistory else { throw .dropped(frame: frame) }
        return tracked.answer
    }

    private func selection(_ frame: Int, isReverse: Bool) -> MemorySelection {
        MemorySelection(
            frame: frame, isReverse: isReverse, frames: frameCount, prompted: bank.prompted.map(\.frame),
            tracked: Set(bank.tracked.keys))
    }

    /// Tracks one frame without a prompt and stores its memory.
    private func step(_ frame: Int, isReverse: Bool) throws -> TrackedFrame {
        let features = try features(frame)
        let (answer, pointer) = try decode(
            features, frame, selection(frame, isReverse: isReverse), tokens: network.prompts.paddedTokens(Prompt()),
            mask: nil, multimask: true)
        // The memory is made of the logits before holes are filled.
        let memory = try network.memoryEncoder.encode(
            features.vision, logits: answer.logits, isPresent: answer.objectScore > 0, isPrompted: false)
        var shown = answer
        shown.logits = filled(answer.logits)
        shown.isPrompted = false
        bank.storeTracked(FrameMemory(features: memory, pointer: pointer, answer: shown), frame)
        return shown
    }

    /// Decodes a frame's mask, with the memories of `selection` or, for a frame that is prompted first, without any.
    private func decode(
        _ features: FrameFeatures, _ frame: Int, _ selection: MemorySelection?, tokens: [Float], mask: Tensor?,
        multimask: Bool
    ) throws -> (answer: TrackedFrame, pointer: [Float]) {
        let image =
            if let selection {
                try network.memoryAttention.apply(
                    features.vision, bank.rows(selection, network, frames: frameCount))
            } else {
                network.withoutMemory(features)
            }
        onImage?(frame, image)
        let decoding = try network.decoder.decode(image, features, tokens: tokens, mask: mask) {
            multimask ? [MaskDecoding.best($0)] : [0, MaskDecoding.best($0)]
        }
        let isPresent = decoding.objectScore > 0
        let best = MaskDecoding.best(decoding.predictedIoU)
        var (logits, iou) = (decoding.logits, decoding.predictedIoU[best])
        if !multimask {
            let single = SingleMask(decoding)
            (logits, iou) = (single.logits, single.predictedIoU)
        }
        if !isPresent {
            logits = Tensor(shape: logits.shape, values: [Float](repeating: Self.absent, count: logits.count))
        }
        // Without several masks, the pointer is that of mask 0, even if another mask replaced it.
        let pointer = try self.pointer(decoding.maskTokens, mask: multimask ? best : 0, isPresent)
        let answer = TrackedFrame(
            frame: frame, logits: logits, objectScore: decoding.objectScore, predictedIoU: iou, isPrompted: true,
            selection: selection)
        return (answer, pointer)
    }

    /// The logit of every pixel of a frame without the object.
    private static let absent: Float = -1024

    /// Receives the image embedding of every frame that is decoded, with its memories; for comparisons.
    package var onImage: ((Int, [Float]) -> Void)?

    private func pointer(_ tokens: [Float], mask: Int, _ isPresent: Bool) throws -> [Float] {
        guard isPresent else { return network.pointers.noObject }
        let channels = network.channels
        return try network.pointers.pointer(Array(tokens[mask * channels..<(mask + 1) * channels]))
    }

    private func filled(_ logits: Tensor) -> Tensor {
        options.fillsHoles ? HoleFilling.filled(logits, largest: 8) : logits
    }

    // MARK: - Prompts

    /// Encodes the memory of an answer to a prompt and lets it wait for the tracking.
    private func wait(
        _ decoded: (answer: TrackedFrame, pointer: [Float]), _ features: FrameFeatures
    ) throws -> TrackedFrame {
        var answer = decoded.answer
        answer.logits = filled(answer.logits)
        let encoded = try network.memoryEncoder.encode(
            features.vision, logits: answer.logits, isPresent: answer.objectScore > 0, isPrompted: true)
        let memory = FrameMemory(features: encoded, pointer: decoded.pointer, answer: answer)
        let frame = answer.frame
        if directions[frame] != nil {
            waiting.corrections[frame] = memory
        } else if let index = waiting.first.firstIndex(where: { $0.frame == frame }) {
            waiting.first[index].memory = memory
        } else {
            waiting.first.append((frame, memory))
        }
        return answer
    }

    /// Stores the answers that wait.
    ///
    /// Corrections of tracked frames count as tracked. What was tracked on a prompted frame is forgotten, its
    /// correction included.
    private func takeOverWaiting() {
        for (frame, memory) in waiting.first { bank.storePrompted(memory, frame) }
        for (frame, memory) in waiting.corrections { bank.storeTracked(memory, frame) }
        waiting = ([], [:])
        bank.dropTrackedOfPrompted()
    }

    /// The memory and the pointer of a frame, as fp32 numbers; for comparisons.
    package func stored(_ frame: Int) -> (memory: [Float], pointer: [Float])? {
        let newest = waiting.first.first { $0.frame == frame }?.memory ?? waiting.corrections[frame]
        guard let found = newest ?? bank.prompted(frame) ?? bank.tracked[frame], let features = found.features else {
            return nil
        }
        return (features.map { Float(bitPattern: UInt32($0) << 16) }, found.pointer)
    }

    /// Replaces the memory and the pointer of a frame if it was taken over; for comparisons.
    ///
    /// - Parameters:
    ///   - frame: the index of the frame.
    ///   - memory: bf16 numbers, `[grid * grid, memoryChannels]`.
    ///   - pointer: `[channels]`.
    package func replaceStored(_ frame: Int, memory: [Float], pointer: [Float]) {
        let features = memory.map { UInt16($0.bitPattern >> 16) }
        if let old = bank.prompted(frame) {
            bank.storePrompted(FrameMemory(features: features, pointer: pointer, answer: old.answer), frame)
        } else if let old = bank.tracked[frame] {
            bank.storeTracked(FrameMemory(features: features, pointer: pointer, answer: old.answer), frame)
        }
    }
}
