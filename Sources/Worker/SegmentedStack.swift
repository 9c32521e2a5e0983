// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Segmentation
import Supervision

/// The answer of a segmenter for a whole stack, in the order of the request's sources and their frames.
struct SegmentedStack {
    var masks: [Mask] = []
    /// Kept only when an output is fractional.
    var probabilities: [[Float]] = []
    var frameConfidence: [Confidence] = []
    var confidence = Confidence(value: 0, measures: [:])
    var overlays: [String] = []
    var notes: [String] = []
}

extension SegmentRequest {
    var needsProbabilities: Bool { outputs.contains { $0.description.type == .fractional } }

    /// Frames of one instance: hours of video.
    private static let frameLimit = 100_000

    /// Splits a source into parts of at most `samples` samples, every frame number named.
    func parts(of source: Source, samples: Int) throws -> [Source] {
        let header: InstanceHeader
        do {
            header = try InstanceHeader.read(path: "\(folder)/\(source.path)")
        } catch .cannotOpen(let reason) {
            throw Refusal.hindered("\(DataSetError.cannotOpen(reason: reason))")
        } catch {
            throw Refusal.failed("could not read instance \(source.sopInstanceUID): \(error)")
        }
        guard header.numberOfFrames <= Self.frameLimit else {
            throw Refusal.unfit("an instance of \(header.numberOfFrames) frames, at most \(Self.frameLimit) are taken")
        }
        let numbers = source.frameNumbers ?? Array(1...max(1, header.numberOfFrames))
        let count = max(1, samples / max(1, header.rows * header.columns * header.samplesPerPixel))
        return stride(from: 0, to: numbers.count, by: count).map { start in
            var part = source
            part.frameNumbers = Array(numbers[start..<min(start + count, numbers.count)])
            return part
        }
    }

    /// Decodes one source.
    func decode(_ source: Source) throws -> DecodedInstance {
        do {
            return try DecodedInstance.read(path: "\(folder)/\(source.path)", frameNumbers: source.frameNumbers)
        } catch {
            switch error {
            case .dataSet(.cannotOpen): throw Refusal.hindered("\(error)")
            case .unsupportedTransferSyntax, .unsupportedClass, .unsupportedEncoding, .notAnImage:
                throw Refusal.unfit("\(error)")
            default: throw Refusal.failed("could not decode instance \(source.sopInstanceUID): \(error)")
            }
        }
    }

    /// Writes the overlay of one frame, if overlays are asked for and something was found.
    ///
    /// - Returns: its path, or nothing.
    func overlay(_ frame: Frame, mask: Mask, index: Int) throws -> [String] {
        guard overlayFolder != nil, !mask.isEmpty else { return [] }
        let picture = Overlay.picture(of: frame, mask: mask, color: segmenter.recommendedDisplayColor)
        return try write(picture, named: String(format: "%04d", index + 1))
    }

    /// Writes a sheet of slices of a volume, if overlays are asked for and something was found.
    ///
    /// - Parameter masks: in the order of the volume.
    /// - Returns: its path, or nothing.
    func contactSheet(_ volume: Volume, masks: [Mask]) throws -> [String] {
        guard overlayFolder != nil, masks.contains(where: { !$0.isEmpty }) else { return [] }
        let picture = Overlay.contactSheet(of: volume, masks: masks, color: segmenter.recommendedDisplayColor)
        return try write(picture, named: "sheet")
    }

    private func write(_ picture: Picture, named name: String) throws -> [String] {
        guard let overlayFolder else { return [] }
        let path = "\(overlayFolder)/\(name).png"
        do {
            try FileManager.default.createDirectory(atPath: overlayFolder, withIntermediateDirectories: true)
            try picture.writePNG(to: path)
        } catch {
            throw Refusal.hindered("could not write an overlay: \(error)")
        }
        return [path]
    }
}

/// Stacks of frames that are answered one by one: any number of them passes through a bounded amount of memory.
enum FrameStack {
    /// Samples decoded at once, 4 bytes each.
    private static let batchSamples = 48 << 20

    static func segment(
        _ request: SegmentRequest, with segmenter: any Segmenter, progress: (WorkProgress) -> Void
    ) throws -> SegmentedStack {
        var stack = SegmentedStack()
        var batches: [(Confidence, weight: Double)] = []
        var batch: [Frame] = []
        // Multi-frame instances may not fit into memory as a whole: they are read part by part.
        let parts = try request.sources.flatMap { try request.parts(of: $0, samples: batchSamples) }
        let total = parts.reduce(0) { $0 + ($1.frameNumbers?.count ?? 0) }

        func flush() throws {
            guard !batch.isEmpty else { return }
            let before = stack.masks.count
            let result = try segmenter.segment(.frames(batch)) { done, _ in
                progress(WorkProgress(phase: .segmenting, done: min(before + done, total), total: total))
            }
            for (index, frame) in batch.enumerated() {
                stack.overlays += try request.overlay(frame, mask: result.masks[index], index: before + index)
            }
            stack.masks += result.masks
            if request.needsProbabilities { stack.probabilities += result.probabilities }
            stack.frameConfidence += result.frameConfidence
            stack.notes += result.notes.filter { !stack.notes.contains($0) }
            let found = result.masks.count { !$0.isEmpty }
            batches.append((result.confidence, weight: Double(found) + 1e-3 * Double(batch.count)))
            batch = []
        }

        for part in parts {
            for frame in try request.decode(part).frames {
                let samples = batch.reduce(frame.samples.count) { $0 + $1.samples.count }
                if samples > batchSamples { try flush() }
                batch.append(frame)
            }
            progress(WorkProgress(phase: .reading, done: min(stack.masks.count + batch.count, total), total: total))
        }
        try flush()
        stack.confidence = merged(batches)
        return stack
    }

    /// The mean over batches, each counting by the frames in which something was found.
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

/// Stacks that make one volume.
enum VolumeStack {
    static func segment(
        _ request: SegmentRequest, with segmenter: any Segmenter, progress: (WorkProgress) -> Void
    ) throws -> SegmentedStack {
        var frames: [Frame] = []
        var planes: [PlaneGeometry] = []
        for (index, source) in request.sources.enumerated() {
            let instance = try request.decode(source)
            guard instance.frames.count == 1, let frame = instance.frames.first else {
                throw Refusal.unfit(
                    "a volume is made of single-frame instances, one has \(instance.frames.count) frames")
            }
            guard frame.channels == 1 else { throw Refusal.unfit("a volume is made of grey images, one has colour") }
            guard let plane = instance.header.plane else {
                let problem = instance.header.planeProblem ?? "it has none"
                throw Refusal.unfit("\(GeometryError.noPlane(index: index, reason: problem))")
            }
            frames.append(frame)
            planes.append(plane)
            progress(WorkProgress(phase: .reading, done: index + 1, total: request.sources.count))
        }
        let assembly: VolumeAssembly
        do {
            assembly = try VolumeAssembly(frames: frames, planes: planes, gaps: request.gaps)
        } catch {
            throw Refusal.unfit("\(error)")
        }
        let result = try segmenter.segment(.volume(assembly.volume)) { done, total in
            progress(WorkProgress(phase: .segmenting, done: done, total: total))
        }
        // Back from the order of the volume to that of the sources.
        var slice = [Int](repeating: 0, count: frames.count)
        for (k, source) in assembly.order.indices.enumerated() { slice[source] = k }
        var stack = SegmentedStack()
        stack.masks = slice.map { result.masks[$0] }
        if request.needsProbabilities { stack.probabilities = slice.map { result.probabilities[$0] } }
        stack.frameConfidence = slice.map { result.frameConfidence[$0] }
        stack.confidence = result.confidence
        stack.notes = result.notes
        if let problem = assembly.order.problem { stack.notes.append("taken as evenly spaced although \(problem)") }
        for (index, frame) in frames.enumerated() {
            stack.overlays += try request.overlay(frame, mask: stack.masks[index], index: index)
        }
        stack.overlays += try request.contactSheet(assembly.volume, masks: result.masks)
        return stack
    }
}
