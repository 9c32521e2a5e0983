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
    var maskPictures: [String] = []
    var notes: [String] = []
}

extension SegmentRequest {
    var needsProbabilities: Bool { outputs.contains { $0.description.type == .fractional } }

    /// Frames of one instance: hours of video.
    private static let frameLimit = 100_000

    /// Splits a source into parts of at most `samples` samples, every frame number named; a picture is one part.
    func parts(of source: Source, samples: Int) throws -> [Source] {
        if form == .pictures { return [source] }
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

    /// Decodes the frames of one source.
    func frames(of source: Source) throws -> [Frame] {
        if form == .instances { return try decode(source).frames }
        do {
            return [try Frame(picture: "\(folder)/\(source.path)")]
        } catch {
            switch error {
            case .unreadableFile: throw Refusal.hindered("\(error)")
            case .damaged, .unknownFormat, .unwritable: throw Refusal.failed("\(error)")
            }
        }
    }

    /// Decodes one source that is an instance.
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
        return try overlayFolder.map { [try write(picture, to: $0, named: String(format: "%04d", index + 1))] } ?? []
    }

    /// Writes the mask of one frame, if masks are asked for: black, and white where something was found.
    ///
    /// - Returns: its path, or nothing.
    func maskPicture(_ mask: Mask, index: Int) throws -> [String] {
        guard let maskFolder else { return [] }
        let picture = Picture(
            rows: mask.rows, columns: mask.columns, channels: 1, samples: mask.pixels.map { $0 == 0 ? 0 : 255 })
        return [try write(picture, to: maskFolder, named: String(format: "%04d", index + 1))]
    }

    /// Writes a sheet of slices of a volume, if overlays are asked for and something was found.
    ///
    /// - Parameter masks: in the order of the volume.
    /// - Returns: its path, or nothing.
    func contactSheet(_ volume: Volume, masks: [Mask]) throws -> [String] {
        guard overlayFolder != nil, masks.contains(where: { !$0.isEmpty }) else { return [] }
        let picture = Overlay.contactSheet(of: volume, masks: masks, color: segmenter.recommendedDisplayColor)
        return try overlayFolder.map { [try write(picture, to: $0, named: "sheet")] } ?? []
    }

    private func write(_ picture: Picture, to folder: String, named name: String) throws -> String {
        let path = "\(folder)/\(name).png"
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try picture.writePNG(to: path)
        } catch {
            throw Refusal.hindered("could not write a picture: \(error)")
        }
        return path
    }
}

/// Stacks of frames that are answered one by one: any number of them passes through a bounded amount of memory.
enum FrameStack {
    /// Samples decoded at once, 4 bytes each.
    private static let batchSamples = 48 << 20

    static func segment(
        _ request: SegmentRequest, with segmenter: any Segmenter, trace: TraceFolder?,
        progress: (WorkProgress) -> Void
    ) throws -> SegmentedStack {
        var stack = SegmentedStack()
        var batches: [(Confidence, weight: Double)] = []
        var batch: [Frame] = []
        // Multi-frame instances may not fit into memory as a whole: they are read part by part.
        let parts = try request.sources.flatMap { try request.parts(of: $0, samples: batchSamples) }
        let total = parts.reduce(0) { $0 + ($1.frameNumbers?.count ?? 1) }

        func flush() throws {
            guard !batch.isEmpty else { return }
            let before = stack.masks.count
            trace?.firstIndex = before
            let result = try segmenter.segment(.frames(batch), options: request.options, trace: trace) { done, _ in
                progress(WorkProgress(phase: .segmenting, done: min(before + done, total), total: total))
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

        for part in parts {
            for frame in try request.frames(of: part) {
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
        _ request: SegmentRequest, with segmenter: any Segmenter, trace: TraceFolder?,
        progress: (WorkProgress) -> Void
    ) throws -> SegmentedStack {
        guard request.form == .instances else {
            throw Refusal.unfit("a volume is needed, and pictures have no place in one")
        }
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
        let result = try segmenter.segment(
            .volume(assembly.volume), options: request.options, trace: trace
        ) { done, total in
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
            stack.maskPictures += try request.maskPicture(stack.masks[index], index: index)
        }
        stack.overlays += try request.contactSheet(assembly.volume, masks: result.masks)
        return stack
    }
}
