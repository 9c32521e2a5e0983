// SPDX-License-Identifier: Apache-2.0
//
// A volume answered slice by slice from boxes, as LiteMedSAM's 3D loop does it (CVPR24_LiteMedSAM_infer.py), with both
// ends included. Slices are seen as they were acquired.

internal import Imaging
internal import Inference

/// Volumes, answered by a network that takes boxes: the part that its recipes for volumes have in common.
///
/// Without a prompt, left-atrium-compact looks for the atrium, and its mask in a slice gives the box, widened by the
/// margin; a slice without a mask between others takes the box of the nearest one. A box on the key slice, a person's or
/// found there, is walked from slice to slice in both directions instead.
final class PromptedSlices: PromptedBody {
    private let network: PromptedNetwork
    private let prompter: CompactPrompter
    private let precision: Precision

    static let mostVoxels = 150_000_000

    private var rules: PromptedRules { network.rules }

    init(_ rules: PromptedRules, weights: SafeTensors, precision: Precision) throws {
        network = try naming(rules.name) { try PromptedNetwork(rules, weights: weights, precision: precision) }
        self.precision = precision
        prompter = CompactPrompter(.leftAtrium, precision: precision, asked: rules.name)
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        guard case .volume(let volume) = input else {
            throw SegmentationError.wrongKind(segmenter: rules.name, accepts: "volumes")
        }
        let given = try check(volume, options)
        var ahead = 0
        let found =
            try given == nil
            ? prompter.find(input) { done, all in
                ahead = all
                progress(done, all + volume.slices)
            } : nil
        var run = SliceRun(
            network: network, volume: volume, margin: options.margin ?? rules.margin,
            shift: options.shift ?? rules.shift, trace: trace)
        let plan = try plan(volume, given, found, options, run.grid)
        var done = 0
        try naming(rules.name) {
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

    private func check(_ volume: Volume, _ options: SegmenterOptions) throws -> GivenPrompt? {
        guard volume.voxels.count <= Self.mostVoxels else {
            let reason = "it has more than \(Self.mostVoxels / 1_000_000) million voxels"
            throw SegmentationError.unsuitable(segmenter: rules.name, reason: reason)
        }
        guard volume.voxels.reduce(0, { $0 + abs($1) * 0x1p-64 }).isFinite else {
            throw SegmentationError.unsuitable(segmenter: rules.name, reason: "it has values that are not finite")
        }
        if let slice = options.keySlice, slice > volume.slices {
            throw SegmentationError.option(
                segmenter: rules.name, option: "keySlice", reason: "the volume has \(volume.slices) slices")
        }
        guard options.hasPrompt else { return nil }
        return try GivenPrompt(options, rows: volume.rows, columns: volume.columns, segmenter: rules.name)
    }

    private func plan(
        _ volume: Volume, _ given: GivenPrompt?, _ found: SegmenterResult?, _ options: SegmenterOptions,
        _ grid: InputGrid
    ) throws -> SliceRun.Plan {
        let key = (options.keySlice ?? volume.slices / 2 + 1) - 1
        if let box = given?.box { return .walk(from: key, box: grid.input(box)) }
        let margin = options.margin ?? rules.margin
        let boxes = (found?.masks ?? []).map { mask in
            MaskPrompter.box(mask.pixels, columns: mask.columns).map { grid.widened(grid.input($0), by: margin) }
        }
        guard options.keySlice != nil, boxes.contains(where: { $0 != nil }) else { return .slices(boxes) }
        guard let box = boxes[key] else {
            let reason = "\(LeftAtriumCompact.name) finds nothing in slice \(key + 1): give a box or another slice"
            throw SegmentationError.option(segmenter: rules.name, option: "keySlice", reason: reason)
        }
        return .walk(from: key, box: box)
    }

    private func result(
        _ run: SliceRun, _ plan: SliceRun.Plan, _ volume: Volume, _ found: SegmenterResult?, wasClipped: Bool
    ) -> SegmenterResult {
        let size = volume.rows * volume.columns
        var result = SegmenterResult(
            masks: [], probabilities: [], frameConfidence: [], confidence: Confidence(value: 0, measures: [:]),
            notes: ["computed in \(precision.rawValue)"])
        var mask = [UInt8]()
        mask.reserveCapacity(size * volume.slices)
        for answer in run.answers { mask += answer?.mask ?? [UInt8](repeating: 0, count: size) }
        let dropped = ConnectedComponents.removeSmall(
            &mask, slices: volume.slices, rows: volume.rows, columns: volume.columns, below: rules.smallestObject)
        for (slice, answer) in run.answers.enumerated() {
            let pixels = Array(mask[slice * size..<(slice + 1) * size])
            var probabilities = answer?.probabilities ?? [Float](repeating: 0, count: size)
            if let before = answer?.mask {
                for index in pixels.indices where before[index] > pixels[index] { probabilities[index] = 0 }
            }
            result.masks.append(Mask(rows: volume.rows, columns: volume.columns, pixels: pixels))
            result.probabilities.append(probabilities)
            let prompter = found?.frameConfidence[slice].value
            // That nothing is in a slice without a box is the prompter's word.
            result.frameConfidence.append(
                answer.map { PromptConfidence.confidence($0.measures, prompter: prompter) }
                    ?? Confidence(value: prompter ?? 0, measures: prompter.map { ["prompterConfidence": $0] } ?? [:]))
        }
        result.confidence = PromptConfidence.mean(result.frameConfidence, found: result.masks.map { !$0.isEmpty })
        result.notes += notes(run, plan, volume, wasPrompted: found == nil, wasClipped: wasClipped)
        if dropped > 0 {
            result.notes.append("\(dropped) objects of fewer than \(rules.smallestObject) voxels were dropped")
        }
        return result
    }

    private func notes(
        _ run: SliceRun, _ plan: SliceRun.Plan, _ volume: Volume, wasPrompted: Bool, wasClipped: Bool
    ) -> [String] {
        var boxes = run.boxes
        boxes.clipped = wasClipped ? 1 : 0
        var notes = boxes.notes(rules.family)
        let reached = run.answers.count { $0 != nil }
        if case .walk(let key, _) = plan {
            notes.append("the box of slice \(key + 1) was walked through \(reached) of \(volume.slices) slices")
        }
        if !wasPrompted { notes.append("boxes were found by \(LeftAtriumCompact.name)") }
        return notes
    }
}
