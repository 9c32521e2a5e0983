// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Segmentation
import Supervision

/// Stacks of frames that are segmented one by one, so that the memory for images is the same for any number of frames.
///
/// Three threads work at the same time: one decodes the next frames, the calling thread segments, and one draws the
/// pictures of the frames before. The first and the last yield to the threads of the network, because all of these wait
/// for each other after each layer: a thread that loses its processor would hold up the others.
///
/// A frame of an instance that cannot be decoded or segmented is left out, and the others are segmented. A picture file
/// is named by a person, who needs to know that it cannot be read; it is refused.
enum FrameStack {
    /// Decodes and segments all frames.
    ///
    /// - Parameters:
    ///   - sources: the open sources of `request`. Frames that are left out are taken from them.
    ///   - request: the options, and the pictures to write.
    ///   - segmenter: a segmenter of frames.
    ///   - trace: takes the tensors of the networks, if the request asks for them.
    ///   - progress: called after every frame.
    /// - Returns: the answer in the order of the sources and their frames, without those that were left out.
    /// - Throws: `Refusal` if a file cannot be read now, or with the first reason if every frame was left out; or the
    ///   segmenter's error.
    static func segment(
        _ sources: inout StackSources, of request: SegmentRequest, with segmenter: any Segmenter, trace: TraceFolder?,
        progress: (WorkProgress) -> Void
    ) throws -> SegmentedStack {
        guard let segmenter = segmenter as? any FrameSegmenter else {
            throw SegmentationError.wrongKind(segmenter: segmenter.descriptor.name, accepts: "volumes")
        }
        let run = try segmenter.run(frames: sources.frames, options: request.options, trace: trace)
        let frames = DecodedFrames(sources)
        defer { frames.stop() }
        let pictures = PictureLine(request)
        defer { pictures.stop() }
        var stack = SegmentedStack()
        var empty = EmptyMask()
        var refusal: Refusal?
        var done = 0
        let total = sources.frames
        while let step = frames.next() {
            switch step {
            case .frame(let frame):
                let answer = try run.answer(frame)
                pictures.add(frame, mask: answer.mask, index: stack.masks.count)
                stack.masks.append(empty.shared(answer.mask))
                if request.needsProbabilities { stack.probabilities.append(answer.probabilities) }
                stack.frameConfidence.append(answer.confidence)
                done += 1
            case .remarks(let remarks):
                sources.take(remarks)
                continue
            case .lost(let numbers, let source, let error):
                if error.isFinal || request.form == .pictures { throw error.refusal }
                refusal = refusal ?? error.refusal
                sources.leaveOut(numbers, of: source, because: error.reason)
                run.leaveOut(numbers.count)
                done += numbers.count
            }
            progress(WorkProgress(phase: .segmenting, done: done, total: total))
        }
        if stack.masks.isEmpty, let refusal { throw refusal }
        (stack.overlays, stack.maskPictures) = try pictures.finish()
        (stack.confidence, stack.notes) = run.summary()
        stack.notes += sources.remarks + sources.leftOut.notes
        return stack
    }
}

/// One empty mask in the place of all that are equal to it, because the frames without a finding may be many.
private struct EmptyMask {
    private var last: Mask?

    /// The mask, or the empty mask of its size.
    mutating func shared(_ mask: Mask) -> Mask {
        guard mask.isEmpty else { return mask }
        if let last, last.rows == mask.rows, last.columns == mask.columns { return last }
        last = mask
        return mask
    }
}
