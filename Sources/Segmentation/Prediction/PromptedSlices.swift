// SPDX-License-Identifier: Apache-2.0
//
// A volume is segmented slice by slice from boxes as LiteMedSAM's 3D loop does it
// (CVPR24_LiteMedSAM_infer.py), with both ends included. Slices keep the orientation in which they
// were acquired.

internal import Imaging
internal import Inference

/// Segments a volume by prompting a network of the SAM family with a box in each slice.
///
/// Without a prompt, left-atrium-compact segments the atrium. The box around its mask in a slice,
/// widened by the margin, prompts that slice. A slice without a mask that lies between slices with a mask takes the box
/// of the nearest of those slices.
///
/// A box on the key slice is instead carried from slice to slice in both directions. A person gives
/// this box, or left-atrium-compact finds it in the key slice that a person names.
final class PromptedSlices: Segmenter {
    let descriptor: SegmenterDescriptor
    private let recipe: PromptedRecipe
    private let network: PromptedNetwork
    private let prompter: CompactPrompter
    private let precision: Precision

    init(_ recipe: PromptedRecipe, _ weights: RecipeWeights) throws {
        descriptor = weights.descriptor
        self.recipe = recipe
        network = try PromptedNetwork(recipe, weights)
        prompter = CompactPrompter(recipe.prompter, for: recipe.name, precision: weights.precision)
        precision = weights.precision
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try recipe.entry.check(options)
        let volume = try input.volume(for: recipe.name)
        let given = try prompt(options, in: volume)
        var ahead = 0
        let found =
            try given == nil
            ? prompter.find(input) { done, all in
                ahead = all
                progress(done, all + volume.slices)
            } : nil
        var run = SliceRun(
            network: network, volume: volume, margin: options.margin ?? recipe.margin,
            shift: options.shift ?? recipe.shift, trace: trace)
        let plan = try plan(volume, given, found, options, run.grid)
        var done = 0
        try naming(recipe.name) {
            try run.follow(plan) {
                done += 1
                progress(ahead + done, ahead + volume.slices)
            }
        }
        while done < volume.slices {
            done += 1
            progress(ahead + done, ahead + volume.slices)
        }
        return result(run, plan, volume, found, wasClipped: given?.isClipped ?? false)
    }

    /// A person's prompt, checked before the first slice is computed.
    private func prompt(_ options: SegmenterOptions, in volume: Volume) throws -> GivenPrompt? {
        try recipe.entry.check(options, count: volume.slices, "slice")
        guard options.hasPrompt else { return nil }
        return try GivenPrompt(options, rows: volume.rows, columns: volume.columns, segmenter: recipe.name)
    }

    /// Decides which box prompts each slice.
    private func plan(
        _ volume: Volume, _ given: GivenPrompt?, _ found: SegmenterResult?, _ options: SegmenterOptions,
        _ grid: InputGrid
    ) throws -> SliceRun.Plan {
        let key = (options.keySlice ?? volume.slices / 2 + 1) - 1
        if let box = given?.box { return .walk(from: key, box: grid.input(box)) }
        let margin = options.margin ?? recipe.margin
        let boxes = (found?.masks ?? []).map { mask in
            MaskPrompter.box(mask.pixels, columns: mask.columns).map { grid.widened(grid.input($0), by: margin) }
        }
        guard options.keySlice != nil, boxes.contains(where: { $0 != nil }) else { return .slices(boxes) }
        guard let box = boxes[key] else {
            let reason = "\(prompter.name) finds nothing in slice \(key + 1): give a box or another slice"
            throw SegmentationError.option(segmenter: recipe.name, option: .keySlice, reason: reason)
        }
        return .walk(from: key, box: box)
    }

    private func result(
        _ run: SliceRun, _ plan: SliceRun.Plan, _ volume: Volume, _ found: SegmenterResult?, wasClipped: Bool
    ) -> SegmenterResult {
        let size = volume.rows * volume.columns
        var result = SegmenterResult(computedIn: precision)
        var mask = [UInt8]()
        mask.reserveCapacity(size * volume.slices)
        for answer in run.answers { mask += answer?.mask ?? [UInt8](repeating: 0, count: size) }
        let dropped = ConnectedComponents.removeSmall(
            &mask, slices: volume.slices, rows: volume.rows, columns: volume.columns, below: recipe.smallestObject)
        for (slice, answer) in run.answers.enumerated() {
            let pixels = Array(mask[slice * size..<(slice + 1) * size])
            var probabilities = answer?.probabilities ?? [Float](repeating: 0, count: size)
            if let before = answer?.mask {
                for index in pixels.indices where before[index] > pixels[index] { probabilities[index] = 0 }
            }
            let prompter = found?.frameConfidence[slice].value
            // A slice without a box has an empty mask because the prompter found nothing there.
            let confidence =
                answer.map { PromptConfidence.confidence($0.measures, prompter: prompter) }
                ?? Confidence(value: prompter ?? 0, measures: prompter.map { ["prompterConfidence": $0] } ?? [:])
            result.add(
                mask: pixels, probabilities: probabilities, rows: volume.rows, columns: volume.columns,
                confidence: confidence)
        }
        result.clear(volume.padding)
        result.confidence = PromptConfidence.mean(result.frameConfidence, found: result.masks.map { !$0.isEmpty })
        result.notes += notes(run, plan, volume, wasPrompted: found == nil, wasClipped: wasClipped)
        if dropped > 0 {
            result.notes.append("\(dropped) objects of fewer than \(recipe.smallestObject) voxels were dropped")
        }
        if case .walk(let key, _) = plan { result.prompted = [key] }
        if run.isFlat { result.doubtWithoutContrast() }
        return result
    }

    private func notes(
        _ run: SliceRun, _ plan: SliceRun.Plan, _ volume: Volume, wasPrompted: Bool, wasClipped: Bool
    ) -> [String] {
        var boxes = run.boxes
        boxes.clipped = wasClipped ? 1 : 0
        var notes = boxes.notes(recipe.family)
        let reached = run.answers.count { $0 != nil }
        if case .walk(let key, _) = plan {
            notes.append("the box of slice \(key + 1) was walked through \(reached) of \(volume.slices) slices")
        }
        if !wasPrompted { notes.append("boxes were found by \(prompter.name)") }
        return notes
    }
}
