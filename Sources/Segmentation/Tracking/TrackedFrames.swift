// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

/// Segments frames by tracking a structure through them in the order of time.
///
/// A person prompts a frame, or several. Without a prompt, polyp-compact looks for a polyp in each frame until it finds
/// one, and the largest polyp's box, widened by the margin, becomes the prompt. In a frame where the network does not
/// see the structure any more, polyp-compact looks again, and a new track starts where it finds a polyp.
///
/// The tracking goes forwards only, because a run does not keep frames. A frame of another size ends the track.
final class TrackedFrames: FrameSegmenter {
    let descriptor: SegmenterDescriptor
    private let recipe: TrackedRecipe
    private let method: TrackingMethod
    private let network: TrackingNetwork
    private let prompter: CompactPrompter
    private let confidence: TrackConfidence
    private let precision: Precision

    init(_ recipe: TrackedRecipe, _ weights: RecipeWeights) throws {
        descriptor = weights.descriptor
        self.recipe = recipe
        method = recipe.method(of: weights.descriptor.version)
        network = try TrackingNetwork(recipe.family, weights)
        confidence = try TrackConfidence(weights)
        prompter = CompactPrompter(recipe.prompter, for: recipe.name, precision: weights.precision)
        precision = weights.precision
    }

    func run(frames: Int, options: SegmenterOptions, trace: (any SegmentationTrace)?) throws -> any FrameRun {
        try recipe.entry.check(options)
        try recipe.entry.check(options, count: frames, "frame")
        let first = options.keySlice ?? 1
        let isPrompted = options.box != nil || !options.points.isEmpty
        if isPrompted, let other = options.slicePrompts.first(where: { $0.slice == first }) {
            throw recipe.entry.twoPrompts(other, "frame")
        }
        if options.keySlice != nil, !isPrompted {
            throw SegmentationError.option(
                segmenter: recipe.name, option: .keySlice, reason: "it needs a box or points on that frame")
        }
        return Run(self, frames, options, trace)
    }

    /// The frame as bytes, as the family's reference reads it.
    private func image(_ frame: Frame) -> ByteImage {
        recipe.family == .sam2 ? ByteImage(stretching: frame) : ByteImage(clipping: frame)
    }

    /// A run over the frames of one stack.
    private final class Run: FrameRun {
        private let segmenter: TrackedFrames
        /// The number of frames of the stack, on which the scale of the pointers' temporal codes depends.
        private let count: Int
        private let options: SegmenterOptions
        private let trace: (any SegmentationTrace)?
        /// A person's prompts by the index of their frame.
        private let given: [Int: SlicePrompt]
        private var confidences = FrameConfidences()
        private var boxes = BoxNotes()
        private var current: Current?
        private var prompted = 0
        private var restarts = 0
        /// The number of frames that could not be read so far.
        private var leftOut = 0
        /// The prompted frames that could not be read, counted from 1.
        private var missed: [Int] = []
        /// The number of frames that are prompted, or in which polyp-compact looked for prompts, although they are not
        /// like its own.
        private var unlike = 0
        /// The prompted frames whose outline does not follow a person's prompt, counted from 1.
        private var strays: [Int] = []
        /// The frames, counted from 1, in which nothing was found although a person prompted them.
        private var empty: [Int] = []
        /// Whether the latest prompt may not show the structure, so that the track may show anything.
        private var isDoubted = false
        /// Whether the latest frame of the track does not show the structure.
        private var isLost = true

        /// The track that goes on, and the field of the frames that it sees.
        private struct Current {
            let track: ObjectTrack
            let field: EndoscopicField
            let grid: InputGrid
            /// Rows of the frames.
            let rows: Int
            /// Columns of the frames.
            let columns: Int
            let picture: PictureBox
        }

        /// The picture of the frame that is segmented.
        private final class PictureBox {
            var image: ByteImage?
        }

        init(
            _ segmenter: TrackedFrames, _ count: Int, _ options: SegmenterOptions, _ trace: (any SegmentationTrace)?
        ) {
            self.segmenter = segmenter
            self.count = count
            self.options = options
            self.trace = trace
            var given = [Int: SlicePrompt]()
            for prompt in options.slicePrompts { given[prompt.slice - 1] = prompt }
            if options.box != nil || !options.points.isEmpty {
                let first = options.keySlice ?? 1
                given[first - 1] = SlicePrompt(slice: first, box: options.box, points: options.points)
            }
            self.given = given
        }

        func segment(_ frame: Frame) throws -> FrameAnswer {
            let index = confidences.count + leftOut
            if let current, (current.rows, current.columns) != (frame.rows, frame.columns) { self.current = nil }
            let answer = try naming(segmenter.recipe.name) { try self.answer(frame, index) }
            return confidences.add(answer, of: frame)
        }

        func leaveOut(_ count: Int) {
            let next = confidences.count + leftOut
            missed += (next..<next + count).filter { given[$0] != nil }.map { $0 + 1 }
            leftOut += count
        }

        private func answer(_ frame: Frame, _ index: Int) throws -> FrameAnswer {
            if let prompt = given[index] { return try answer(frame, index, prompt) }
            if let current, !isLost {
                let answer = try tracked(frame, index, current)
                if answer.isPresent || !given.isEmpty { return self.answer(answer, frame, current, prompter: nil) }
                isLost = true
            }
            guard given.isEmpty else { return try lost(frame, index) }
            let found = try segmenter.prompter.find(.frames([frame]))
            if segmenter.prompter.doubts(found) { unlike += 1 }
            guard let object = MaskPrompter.objects(found.masks[0]).first else {
                let value = found.confidence.value
                return FrameAnswer(
                    mask: Mask(rows: frame.rows, columns: frame.columns),
                    probabilities: [Float](repeating: 0, count: frame.rows * frame.columns),
                    confidence: Confidence(value: value, measures: ["prompterConfidence": value]))
            }
            isDoubted = segmenter.prompter.doubts(found)
            return try restart(frame, index, object, confidence: found.confidence.value)
        }

        /// The answer for a frame that a person prompts; the prompt joins the track that goes on.
        private func answer(_ frame: Frame, _ index: Int, _ given: SlicePrompt) throws -> FrameAnswer {
            let prompt = try GivenPrompt(
                SegmenterOptions(box: given.box, points: given.points), rows: frame.rows, columns: frame.columns,
                segmenter: segmenter.recipe.name, place: "frame \(index + 1)")
            if prompt.isClipped { boxes.clipped += 1 }
            let going = current.flatMap { prompt.lies(in: $0.field.box) ? $0 : nil }
            let current = going ?? start(frame, EndoscopicField(of: frame, showing: prompt))
            self.current = current
            if PolypCompact.isUnlike(frame, in: current.field) { unlike += 1 }
            isDoubted = false
            var answer = try ask(
                prompt.moved(into: current.field.box).prompt(on: current.grid), frame, index, current, nil)
            if answer.mask.isEmpty {
                isDoubted = true
                empty.append(index + 1)
            } else if !prompt.isFollowed(by: answer.mask.pixels, columns: answer.mask.columns) {
                isDoubted = true
                strays.append(index + 1)
                answer.confidence.value = min(answer.confidence.value, PolypCompact.doubtful)
            }
            return answer
        }

        /// Starts a new track from an object that the compact network found.
        private func restart(
            _ frame: Frame, _ index: Int, _ object: [UInt8], confidence: Double
        ) throws -> FrameAnswer {
            if current != nil { restarts += 1 }
            let current = start(frame, EndoscopicField(of: frame))
            self.current = current
            let mask = current.field.cut(Mask(rows: frame.rows, columns: frame.columns, pixels: object))
            guard let box = MaskPrompter.box(mask.pixels, columns: mask.columns) else { return try lost(frame, index) }
            let margin = options.margin ?? segmenter.recipe.margin
            let prompt = Prompt(box: current.grid.widened(current.grid.input(box), by: margin))
            return try ask(prompt, frame, index, current, confidence)
        }

        private func start(_ frame: Frame, _ field: EndoscopicField) -> Current {
            let picture = PictureBox()
            let grid = segmenter.network.grid(rows: field.box.height, columns: field.box.width)
            let track = ObjectTrack(
                segmenter.network, count: count, grid: grid, method: segmenter.method,
                shift: options.shift ?? segmenter.recipe.shift, trace: trace
            ) { _ in
                guard let image = picture.image else { preconditionFailure("a frame is segmented when it is here") }
                return image
            }
            return Current(
                track: track, field: field, grid: grid, rows: frame.rows, columns: frame.columns, picture: picture)
        }

        private func ask(
            _ prompt: Prompt, _ frame: Frame, _ index: Int, _ current: Current, _ confidence: Double?
        ) throws -> FrameAnswer {
            prompted += 1
            boxes.count([prompt], on: current.grid)
            current.picture.image = segmenter.image(current.field.picture(of: frame))
            let answer = try current.track.prompt(prompt, frame: index)
            isLost = false
            return self.answer(answer, frame, current, prompter: confidence)
        }

        private func tracked(_ frame: Frame, _ index: Int, _ current: Current) throws -> ObjectTrack.Answer {
            current.picture.image = segmenter.image(current.field.picture(of: frame))
            var found: ObjectTrack.Answer?
            try current.track.track(from: index, atMost: 0) { _, answer in
                found = answer
                return true
            }
            guard let found else { preconditionFailure("one frame has one answer") }
            return found
        }

        private func answer(
            _ answer: ObjectTrack.Answer, _ frame: Frame, _ current: Current, prompter: Double?
        ) -> FrameAnswer {
            let image = current.field.placed(answer.image)
            let mask = Mask(rows: frame.rows, columns: frame.columns, pixels: image.mask)
            var confidence = answer.confidence(segmenter.confidence.frame, isEmpty: mask.isEmpty, prompter: prompter)
            if isDoubted, !mask.isEmpty { confidence.value = min(confidence.value, PolypCompact.doubtful) }
            return FrameAnswer(mask: mask, probabilities: image.probabilities, confidence: confidence)
        }

        /// The answer for a frame without a track: nothing.
        private func lost(_ frame: Frame, _ index: Int) throws -> FrameAnswer {
            FrameAnswer(
                mask: Mask(rows: frame.rows, columns: frame.columns),
                probabilities: [Float](repeating: 0, count: frame.rows * frame.columns),
                confidence: Confidence(value: 0, measures: [:]))
        }

        func summary() -> (confidence: Confidence, notes: [String]) {
            let recipe = segmenter.recipe
            var notes = ["computed in \(segmenter.precision.rawValue)"] + boxes.notes(recipe.family)
            if given.isEmpty { notes.append("prompts were found by \(recipe.prompter.entry.name)") }
            notes.append("tracked forwards from \(prompted) prompted frame\(prompted == 1 ? "" : "s")")
            if restarts > 0 { notes.append("times that the structure was lost and found again: \(restarts)") }
            for frame in empty { notes.append("nothing was found in the prompted frame \(frame)") }
            for frame in strays { notes.append("the outline does not follow the prompt of frame \(frame)") }
            for frame in missed { notes.append("frame \(frame) could not be read: its prompt was not used") }
            notes += segmenter.prompter.notes(
                onUnlike: unlike, of: confidences.count, wasPrompted: !given.isEmpty)
            return (confidences.whole, notes + confidences.notes)
        }
    }
}
