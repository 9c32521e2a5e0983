// SPDX-License-Identifier: Apache-2.0
//
// A volume is segmented from prompts on a few slices, which are tracked through the others in both directions
// (`TrackingMethod`). Slices keep the orientation in which they were acquired.

internal import Imaging
internal import Inference

/// Segments a volume by tracking the structure from prompted slices through the volume.
///
/// A person prompts the key slice, further slices, or both. Without a prompt, left-atrium-compact segments the atrium.
/// The slice where its answer is largest and surest becomes the key slice, unless a person names one, and the box
/// around its mask, widened by the margin, becomes the prompt.
final class TrackedVolume: Segmenter {
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

    /// The prompts of one segmentation.
    private struct Plan {
        /// The prompted slices with their prompts, in the order of prompting.
        var prompts: [(slice: Int, prompt: Prompt)] = []
        /// The prompts as a person gave them, in pixels of the slices; or an empty list.
        var given: [(slice: Int, prompt: GivenPrompt)] = []
        /// The answer of the compact network, if it found the prompts.
        var found: SegmenterResult?
        var boxes = BoxNotes()
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try recipe.entry.check(options)
        guard options.recipe == nil || options.recipe == method.rawValue else {
            throw SegmentationError.otherRecipe(segmenter: recipe.name, version: descriptor.version)
        }
        let volume = try input.volume(for: recipe.name)
        let grid = network.grid(rows: volume.rows, columns: volume.columns)
        var ahead = 0
        let plan = try plan(input, volume, options, grid) { done, all in
            ahead = all
            progress(done, all + volume.slices)
        }
        var answers = [ObjectTrack.Answer?](repeating: nil, count: volume.slices)
        var done = 0
        try naming(recipe.name) {
            try follow(plan, volume, grid, options, trace) { slice, answer in
                if answers[slice] == nil {
                    done += 1
                    progress(ahead + done, ahead + volume.slices)
                }
                answers[slice] = answer
            }
        }
        while done < volume.slices {
            done += 1
            progress(ahead + done, ahead + volume.slices)
        }
        return result(answers, plan, volume, grid, isJittered: (options.shift ?? recipe.shift) > 0)
    }

    // MARK: - Prompts

    private func plan(
        _ input: SegmenterInput, _ volume: Volume, _ options: SegmenterOptions, _ grid: InputGrid,
        progress: (Int, Int) -> Void
    ) throws -> Plan {
        try check(options, slices: volume.slices)
        var plan = Plan()
        guard !options.hasPrompt else {
            for given in prompts(options, slices: volume.slices) {
                let prompt = try GivenPrompt(
                    SegmenterOptions(box: given.box, points: given.points), rows: volume.rows,
                    columns: volume.columns, segmenter: recipe.name, place: "slice \(given.slice)")
                if prompt.isClipped { plan.boxes.clipped += 1 }
                plan.prompts.append((given.slice - 1, prompt.prompt(on: grid)))
                plan.given.append((given.slice - 1, prompt))
            }
            plan.boxes.count(plan.prompts.map(\.prompt), on: grid)
            return plan
        }
        let found = try prompter.find(input, progress: progress)
        plan.found = found
        let best = KeySlice.best(found.masks, confidence: found.frameConfidence.map(\.value))
        guard let key = options.keySlice.map({ $0 - 1 }) ?? best, best != nil else { return plan }
        guard !found.masks[key].isEmpty else {
            let reason = "\(prompter.name) finds nothing in slice \(key + 1): give a box or another slice"
            throw SegmentationError.option(segmenter: recipe.name, option: .keySlice, reason: reason)
        }
        let margin = options.margin ?? recipe.margin
        for slice in KeySlice.prompted(found.masks, key: key, every: options.promptEvery) {
            guard let box = MaskPrompter.box(found.masks[slice].pixels, columns: volume.columns) else { continue }
            plan.prompts.append((slice, Prompt(box: grid.widened(grid.input(box), by: margin))))
        }
        plan.boxes.count(plan.prompts.map(\.prompt), on: grid)
        return plan
    }

    private func check(_ options: SegmenterOptions, slices: Int) throws(SegmentationError) {
        try recipe.entry.check(options, count: slices, "slice")
        let key = options.keySlice ?? slices / 2 + 1
        if options.box != nil || !options.points.isEmpty,
            let other = options.slicePrompts.first(where: { $0.slice == key })
        {
            throw recipe.entry.twoPrompts(other, "slice")
        }
    }

    /// A person's prompts: that of the key slice, which is the middle slice without a name, and then the others.
    private func prompts(_ options: SegmenterOptions, slices: Int) -> [SlicePrompt] {
        let key = SlicePrompt(
            slice: options.keySlice ?? slices / 2 + 1, box: options.box, points: options.points)
        return (key.box == nil && key.points.isEmpty ? [] : [key]) + options.slicePrompts
    }

    // MARK: - Tracking

    /// Prompts the slices of a plan and tracks in both directions.
    private func follow(
        _ plan: Plan, _ volume: Volume, _ grid: InputGrid, _ options: SegmenterOptions,
        _ trace: (any SegmentationTrace)?, onAnswer: (Int, ObjectTrack.Answer) -> Void
    ) throws {
        guard let last = plan.prompts.map(\.slice).max() else { return }
        let bytes = MagneticResonance.bytes(volume.voxels)
        let size = volume.rows * volume.columns
        let track = ObjectTrack(
            network, count: volume.slices, grid: grid, method: method, shift: options.shift ?? recipe.shift,
            trace: trace
        ) { slice in
            ByteImage(
                rows: volume.rows, columns: volume.columns, channels: 1,
                values: Array(bytes[slice * size..<(slice + 1) * size]))
        }
        for (slice, prompt) in plan.prompts { onAnswer(slice, try track.prompt(prompt, frame: slice)) }
        for isReverse in [false, true] {
            if isReverse, method.forgetsBetweenPasses { track.forgetTracked() }
            var absent = 0
            try track.track(isReverse: isReverse) { slice, answer in
                onAnswer(slice, answer)
                absent = answer.isPresent ? 0 : absent + 1
                // A pass must reach every prompted slice.
                guard let most = recipe.mostAbsent, isReverse || slice > last else { return true }
                return absent < most
            }
        }
    }

    // MARK: - Result

    private func result(
        _ answers: [ObjectTrack.Answer?], _ plan: Plan, _ volume: Volume, _ grid: InputGrid, isJittered: Bool
    ) -> SegmenterResult {
        let size = volume.rows * volume.columns
        var result = SegmenterResult(computedIn: precision)
        var mask = [UInt8]()
        mask.reserveCapacity(size * volume.slices)
        for answer in answers { mask += answer?.image.mask ?? [UInt8](repeating: 0, count: size) }
        let components = keep(of: &mask, plan, volume, answers)
        for (slice, answer) in answers.enumerated() {
            let pixels = Array(mask[slice * size..<(slice + 1) * size])
            var probabilities = answer?.image.probabilities ?? [Float](repeating: 0, count: size)
            if let before = answer?.image.mask {
                for index in pixels.indices where before[index] > pixels[index] { probabilities[index] = 0 }
            }
            result.add(
                mask: pixels, probabilities: probabilities, rows: volume.rows, columns: volume.columns,
                confidence: confidence(answers, slice, isEmpty: !pixels.contains(1), plan.found))
        }
        result.clear(volume.padding)
        result.confidence = whole(
            TrackConfidence.Track(
                volume: volume, answers: answers, masks: result.masks, prompts: plan.prompts, grid: grid,
                isJittered: isJittered), result.frameConfidence, plan.found)
        result.prompted = plan.prompts.map(\.slice).sorted()
        let strays = strays(result.masks, plan)
        if !strays.isEmpty { result.confidence.value = min(result.confidence.value, LeftAtriumCompact.doubtful) }
        result.notes += notes(result, plan, components, strays)
        let removed = answers.indices.filter { result.masks[$0].isEmpty && answers[$0]?.image.mask.contains(1) == true }
        if !removed.isEmpty { result.notes.append("components were removed from \(Self.named(removed))") }
        if Contrast.isMissing(in: MagneticResonance.bytes(volume.voxels)) { result.doubtWithoutContrast() }
        return result
    }

    /// The number of components that were found and kept, and whether prompted slices decided.
    private typealias Components = (found: Int, kept: Int, ofPrompted: Bool)

    /// A slice with this presence certainly shows the structure.
    private static let sure = 0.96
    /// Behind a gap, the outer slices with a lower presence do not count.
    private static let likely = 0.7

    /// Clears the components of the volume's mask that the way of tracking does not keep.
    ///
    /// A slice that a person prompted keeps its answer, also if the structure is interrupted between two prompts. A few
    /// slices without an answer, such as damaged ones, do not end a structure that is certain behind them.
    private func keep(
        of mask: inout [UInt8], _ plan: Plan, _ volume: Volume, _ answers: [ObjectTrack.Answer?]
    ) -> Components {
        guard method.keepsLargestComponent else { return (1, 1, false) }
        let (slices, rows, columns) = (volume.slices, volume.rows, volume.columns)
        guard recipe.keepsPrompted else {
            let found = ConnectedComponents.keepLargest(&mask, slices: slices, rows: rows, columns: columns)
            return (found, min(found, 1), false)
        }
        let size = rows * columns
        func presence(_ slice: Int) -> Double { answers[slice]?.measures["objectPresence"] ?? 0 }
        func isOutlined(_ slice: Int) -> Bool { mask[slice * size..<(slice + 1) * size].contains(1) }
        let given = plan.given.map(\.slice).filter(isOutlined)
        let kept = ConnectedComponents.keep(
            touching: given, in: &mask, slices: slices, rows: rows, columns: columns,
            across: (recipe.mostAbsent ?? 1) - 1
        ) { presence($0) >= Self.sure }
        for ends in [Array(kept.first.upperBound..<slices).reversed(), Array(0..<kept.first.lowerBound)] {
            let outlined = ends.filter(isOutlined)
            for slice in outlined.prefix(while: { presence($0) < Self.likely }) {
                mask.replaceSubrange(slice * size..<(slice + 1) * size, with: repeatElement(0, count: size))
            }
        }
        return (kept.found, kept.kept, !given.isEmpty)
    }

    /// The confidence of a slice.
    ///
    /// A slice that the tracking did not reach takes the confidence of the last absent slice before it. If nothing
    /// was tracked, it takes that of the network that looked for prompts.
    private func confidence(
        _ answers: [ObjectTrack.Answer?], _ slice: Int, isEmpty: Bool, _ found: SegmenterResult?
    ) -> Confidence {
        let reached = answers.indices.filter { answers[$0] != nil }
        let nearest = reached.min { abs($0 - slice) < abs($1 - slice) }
        let prompter = found?.frameConfidence[slice].value
        if let nearest, let answer = answers[nearest] {
            return answer.confidence(confidence.slice, isEmpty: isEmpty, prompter: prompter)
        }
        return Confidence(value: prompter ?? 0, measures: prompter.map { ["prompterConfidence": $0] } ?? [:])
    }

    /// The confidence of the volume: the fitted one, or the mean over the outlined slices if the weights have no fit.
    ///
    /// A fitted confidence is at most that of a doubtful answer if the network that found the prompts doubts its own
    /// answer, because its prompt may then show anything.
    private func whole(
        _ track: TrackConfidence.Track, _ slices: [Confidence], _ found: SegmenterResult?
    ) -> Confidence {
        let mean = PromptConfidence.mean(slices, found: track.masks.map { !$0.isEmpty })
        guard !track.prompts.isEmpty, var whole = confidence.whole(track) else { return mean }
        if let found {
            whole.measures["prompterConfidence"] = found.confidence.value
            if found.confidence.value <= LeftAtriumCompact.doubtful {
                whole.value = min(whole.value, LeftAtriumCompact.doubtful)
            }
        }
        return whole
    }

    /// The prompted slices, by index, whose outline does not follow a person's prompt.
    private func strays(_ masks: [Mask], _ plan: Plan) -> [Int] {
        let strays = plan.given.filter { slice, prompt in
            !masks[slice].isEmpty && !prompt.isFollowed(by: masks[slice].pixels, columns: masks[slice].columns)
        }
        return strays.map(\.slice).sorted()
    }

    private func notes(
        _ result: SegmenterResult, _ plan: Plan, _ components: Components, _ strays: [Int]
    ) -> [String] {
        let masks = result.masks
        var notes = plan.boxes.notes(recipe.family)
        if let found = plan.found {
            notes.append(
                result.prompted.isEmpty
                    ? "\(prompter.name) finds nothing to prompt with" : "prompts were found by \(prompter.name)")
            if found.confidence.value <= LeftAtriumCompact.doubtful, !result.prompted.isEmpty {
                notes.append("\(prompter.name) is not sure of its answer: check the prompted slice")
            }
        }
        guard !result.prompted.isEmpty else { return notes }
        let outlined = masks.indices.filter { !masks[$0].isEmpty }
        notes.append(
            "tracked by \(method.rawValue) from \(Self.named(result.prompted)): "
                + "outlined in \(outlined.count) of \(masks.count) slices")
        func note(_ text: String, _ slices: [Int]) {
            if !slices.isEmpty { notes.append("\(text) \(Self.named(slices))") }
        }
        note("nothing was found in the prompted", result.prompted.filter { masks[$0].isEmpty })
        note("the outline does not follow the prompt of", strays)
        if let first = outlined.first, let last = outlined.last {
            note("nothing was found between outlined slices in", (first...last).filter { masks[$0].isEmpty })
        }
        let found = plan.found?.masks ?? []
        note(
            "\(prompter.name) finds the structure also in",
            found.indices.filter { masks[$0].isEmpty && !found[$0].isEmpty })
        if plan.found == nil, !outlined.isEmpty, outlined.count < masks.count,
            Set(outlined).isSubset(of: result.prompted)
        {
            notes.append("only prompted slices were outlined: check the prompts")
        }
        if components.found > components.kept {
            notes.append(
                "\(components.kept) of \(components.found) components \(components.kept == 1 ? "was" : "were") kept: "
                    + (components.ofPrompted ? "what reaches into the prompted slices" : "the largest one")
                    + (recipe.keepsPrompted ? ", and what continues it behind a gap" : ""))
        }
        return notes
    }

    /// Slices in words, counted from 1; the first eight of many.
    private static func named(_ slices: [Int]) -> String {
        let few = slices.prefix(8).map { String($0 + 1) }.joined(separator: ", ")
        return "slice\(slices.count == 1 ? "" : "s") \(few)\(slices.count > 8 ? " and others" : "")"
    }
}
