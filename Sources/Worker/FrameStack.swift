// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Segmentation
import Supervision

/// Stacks of frames that are segmented one by one, in batches, so that memory stays bounded for any number of frames.
///
/// A frame of an instance that cannot be decoded or segmented is left out, and the others are segmented. A picture file
/// is named by a person, who needs to know that it cannot be read; it is refused.
enum FrameStack {
    /// The number of samples that are decoded at once, 4 bytes each.
    private static let batchSamples = 48 << 20

    /// Decodes and segments all frames.
    ///
    /// - Parameters:
    ///   - sources: the open sources of `request`. Frames that are left out are taken from them.
    ///   - request: the options, and the pictures to write.
    ///   - segmenter: a segmenter of frames.
    ///   - trace: takes the tensors of the networks, if the request asks for them.
    ///   - progress: called after every decoded and every segmented frame.
    /// - Returns: the answer in the order of the sources and their frames, without those that were left out.
    /// - Throws: `Refusal` if a file cannot be read now, or with the first reason if every frame was left out; or the
    ///   segmenter's error.
    static func segment(
        _ sources: inout StackSources, of request: SegmentRequest, with segmenter: any Segmenter, trace: TraceFolder?,
        progress: (WorkProgress) -> Void
    ) throws -> SegmentedStack {
        var stack = SegmentedStack()
        var batches: [(Confidence, weight: Double)] = []
        var batch: [Frame] = []
        var refusal: Refusal?
        let total = sources.frames

        func flush(_ read: Int) throws {
            guard !batch.isEmpty else { return }
            let before = stack.masks.count
            trace?.firstIndex = before
            let result = try segmenter.segment(.frames(batch), options: request.options, trace: trace) { done, _ in
                progress(WorkProgress(phase: .segmenting, done: min(read - batch.count + done, total), total: total))
            }
            for (index, frame) in batch.enumerated() {
                stack.overlays += try request.overlay(frame, mask: result.masks[index], index: before + index)
                stack.maskPictures += try request.maskPicture(result.masks[index], index: before + index)
            }
            stack.masks += result.masks
            if request.needsProbabilities { stack.probabilities += result.probabilities }
            stack.frameConfidence += result.frameConfidence
            stack.notes += result.notes.filter { !stack.notes.contains($0) }
            let found = result.masks.count { !$0.isEmpty }
            batches.append((result.confidence, weight: Double(found) + 1e-3 * Double(batch.count)))
            batch = []
        }

        var read = 0
        for source in 0..<sources.count {
            let numbers = sources.frameNumbers(of: source)
            var decoder: SourceDecoder?
            defer {
                if let decoder { sources.take(remarksOf: decoder) }
                decoder?.releaseMemory()
            }
            for number in numbers {
                do throws(UndecodedFrames) {
                    if decoder == nil { decoder = try sources.decoder(of: source) }
                    guard let frame = try decoder?.frame(number) else { continue }
                    if let reason = SegmenterInput.unsuitability(of: frame) {
                        throw UndecodedFrames(
                            .unfit("frame \(number) of an instance \(reason)"), reason: "it \(reason)",
                            isFinal: request.form == .pictures)
                    }
                    batch.append(frame)
                    read += 1
                } catch {
                    if error.isFinal { throw error.refusal }
                    refusal = refusal ?? error.refusal
                    // Without a decoder, no frame of the source can be decoded.
                    let lost = decoder == nil ? numbers : [number]
                    sources.leaveOut(lost, of: source, because: error.reason)
                    read += lost.count
                    if decoder == nil { break }
                }
                progress(WorkProgress(phase: .reading, done: min(read, total), total: total))
                if batch.reduce(0, { $0 + $1.samples.count }) >= batchSamples {
                    decoder?.releaseMemory()
                    try flush(read)
                }
            }
        }
        try flush(read)
        if stack.masks.isEmpty, let refusal { throw refusal }
        stack.confidence = merged(batches)
        stack.notes += sources.remarks + sources.leftOut.notes
        return stack
    }

    /// The mean over batches.
    ///
    /// The weight of a batch is the number of its frames with a finding, plus a thousandth of the number of its frames.
    /// The thousandth gives a mean if no frame has a finding.
    private static func merged(_ batches: [(Confidence, weight: Double)]) -> Confidence {
        guard batches.count != 1 else { return batches[0].0 }
        let whole = batches.reduce(0) { $0 + $1.weight }
        var sum = Confidence(value: 0, measures: [:])
        for (confidence, weight) in batches {
            sum.value += confidence.value * weight / whole
            for (name, value) in confidence.measures { sum.measures[name, default: 0] += value * weight / whole }
        }
        return sum
    }
}
