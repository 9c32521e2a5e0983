// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Segmentation
import Supervision

/// The answer of a segmenter for a whole stack, in the order of the request's sources and their frames.
struct SegmentedStack {
    /// One mask per frame, on the grid of its source.
    var masks: [Mask] = []
    /// One plane of probabilities per frame; empty unless an output is fractional.
    var probabilities: [[Float]] = []
    /// One confidence per frame.
    var frameConfidence: [Confidence] = []
    /// The confidence of the whole stack.
    var confidence = Confidence(value: 0, measures: [:])
    /// Names of the overlays in the request's folder.
    var overlays: [String] = []
    /// Names of the masks written as pictures in the request's folder.
    var maskPictures: [String] = []
    /// Remarks for the report, in words.
    var notes: [String] = []
    /// Whether the answer was read back from a stored SEG.
    var isReused = false

    /// The frames with a finding: ascending indices.
    var foundFrames: [Int] { masks.indices.filter { !masks[$0].isEmpty } }
}

extension SegmentRequest {
    /// Whether an output is fractional.
    var needsProbabilities: Bool { outputs.contains { $0.description.type == .fractional } }
}

/// Stacks that make one volume.
enum VolumeStack {
    /// Decodes all slices, orders them by position and segments the volume.
    ///
    /// - Parameters:
    ///   - sources: the open sources of `request`.
    ///   - request: the options, the treatment of gaps, and the pictures to write.
    ///   - segmenter: a segmenter of volumes.
    ///   - trace: takes the tensors of the networks, if the request asks for them.
    ///   - progress: called after every slice.
    /// - Returns: the answer in the order of the sources.
    /// - Throws: `Refusal`, or the segmenter's error.
    static func segment(
        _ sources: inout StackSources, of request: SegmentRequest, with segmenter: any Segmenter, trace: TraceFolder?,
        progress: (WorkProgress) -> Void
    ) throws -> SegmentedStack {
        guard request.form == .instances else {
            throw Refusal.unfit("the segmenter needs a volume, and pictures do not have positions in one")
        }
        let (frames, planes) = try slices(of: &sources, progress: progress)
        let assembly: VolumeAssembly
        do {
            assembly = try VolumeAssembly(frames: frames, planes: planes, gaps: request.gaps)
        } catch {
            throw Refusal.unfit("\(error)")
        }
        let result = try segmenter.segment(
            .volume(assembly.volume), options: request.options, trace: trace
        ) { done, total in
            progress(WorkProgress(phase: .segmenting, done: done, total: total))
        }
        // The answer goes back from the order of the volume to that of the sources.
        var slice = [Int](repeating: 0, count: frames.count)
        for (k, source) in assembly.order.indices.enumerated() { slice[source] = k }
        var stack = SegmentedStack()
        stack.masks = slice.map { result.masks[$0] }
        if request.needsProbabilities { stack.probabilities = slice.map { result.probabilities[$0] } }
        stack.frameConfidence = slice.map { result.frameConfidence[$0] }
        stack.confidence = result.confidence
        stack.notes = result.notes + sources.remarks
        if let problem = assembly.order.problem { stack.notes.append("treated as evenly spaced although \(problem)") }
        for (index, frame) in frames.enumerated() {
            stack.overlays += try request.overlay(frame, mask: stack.masks[index], index: index)
            stack.maskPictures += try request.maskPicture(stack.masks[index], index: index)
        }
        stack.overlays += try request.contactSheet(assembly.volume, result)
        return stack
    }

    /// The frames of all sources with their planes, in the order of the sources and their frame numbers.
    private static func slices(
        of sources: inout StackSources, progress: (WorkProgress) -> Void
    ) throws(Refusal) -> ([Frame], [PlaneGeometry]) {
        var frames: [Frame] = []
        var planes: [PlaneGeometry] = []
        let total = sources.planes.reduce(0) { $0 + $1.count }
        for (index, numbered) in sources.planes.enumerated() {
            let decoded = try sources.decoded(index)
            guard decoded.count == numbered.count else {
                throw .unfit("an instance has \(decoded.count) frames, and planes for \(numbered.count)")
            }
            for (frame, plane) in zip(decoded, numbered) {
                guard frame.channels == 1 else { throw .unfit("a volume consists of grey images; one has colour") }
                guard let plane else {
                    let problem = sources.header(of: index)?.planeProblem ?? "it has neither position nor orientation"
                    throw .unfit("\(GeometryError.noPlane(index: frames.count, reason: problem))")
                }
                frames.append(frame)
                planes.append(plane)
            }
            progress(WorkProgress(phase: .reading, done: frames.count, total: total))
        }
        return (frames, planes)
    }
}
