// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Platform
import Supervision

/// Writes the objects of one answer, and reads each of them back before it counts.
struct ObjectWriter {
    /// The answer.
    let stack: SegmentedStack
    /// The sources of the answer, which the objects refer to and copy from.
    let sources: StackSources

    /// Writes the objects that a request names.
    ///
    /// If nothing was found, only objects that say so are written. An object that refers to a SEG is left out if this SEG
    /// was written with another UID; the request then names another object for the other UID.
    ///
    /// - Parameters:
    ///   - outputs: the objects; a SEG comes before the objects that refer to it.
    ///   - progress: called before each object.
    /// - Returns: the written objects, in the order of `outputs`.
    /// - Throws: `Refusal.hindered` if a file cannot be read or written now, or `ObjectError`.
    func write(
        _ outputs: [SegmentRequest.Output], progress: (WorkProgress) -> Void
    ) throws -> [SegmentOutcome.Output] {
        let instances = sources.instances
        var written: [SegmentOutcome.Output] = []
        /// UIDs that an output could have had and does not have.
        var unused: Set<String> = []
        for (index, output) in outputs.enumerated() {
            progress(WorkProgress(phase: .writing, done: index, total: outputs.count))
            if let segmentation = output.description.segmentation, unused.contains(segmentation.sopInstanceUID) {
                continue
            }
            let possible = [output.description, output.repetition?.otherwise].compactMap { $0?.sopInstanceUID }
            guard !stack.foundFrames.isEmpty || output.description.kind.saysNothingFound else {
                unused.formUnion(possible.dropFirst())
                continue
            }
            let object = try write(output, sources: instances)
            unused.formUnion(possible.filter { $0 != object.sopInstanceUID })
            written.append(object)
        }
        return written
    }

    /// Writes one object, and writes it with its other description if it should repeat an object and does not.
    private func write(
        _ output: SegmentRequest.Output, sources: [SegmentationSource]
    ) throws -> SegmentOutcome.Output {
        let written = try write(output.description, to: output.path, sources: sources)
        guard let repetition = output.repetition, written.sha256 != repetition.sha256 else { return written }
        return try write(repetition.otherwise, to: output.path, sources: sources)
    }

    /// Writes one object, reads it back, and hashes the file.
    private func write(
        _ description: ObjectDescription, to path: String, sources: [SegmentationSource]
    ) throws -> SegmentOutcome.Output {
        var description = description
        description.confidence = stack.confidence
        description.frameConfidences = stack.frameConfidence
        do {
            switch description.kind {
            case .segmentation: try writeSegmentation(description, to: path, sources: sources)
            case .report:
                try MeasurementReport.write(description, sources: sources, masks: stack.masks, to: path)
                try MeasurementReportReader.verify(path: path, description, sources: sources, masks: stack.masks)
            case .pictures: try writePictures(description, to: path, sources: sources)
            }
            let (sha256, bytes) = try hash(path)
            return SegmentOutcome.Output(
                path: path, sha256: sha256, bytes: bytes, sopInstanceUID: description.sopInstanceUID,
                seriesInstanceUID: description.seriesInstanceUID, frames: stack.foundFrames.count)
        } catch let error as ObjectError {
            try? FileSystem.remove(path)
            switch error {
            case .cannotWrite, .cannotRead, .source(_, .cannotOpen): throw Refusal.hindered("\(error)")
            default: throw error
            }
        }
    }

    /// Writes a SEG and reads it back with the independent reader.
    private func writeSegmentation(
        _ description: ObjectDescription, to path: String, sources: [SegmentationSource]
    ) throws(ObjectError) {
        try SegmentationInstance.write(
            description, sources: sources, masks: stack.masks, probabilities: stack.probabilities, to: path)
        try SegmentationReader.verify(
            path: path, encoding: description.encoding, sources: sources, masks: stack.masks,
            probabilities: stack.probabilities)
    }

    /// Writes pictures with burnt-in contours, and reads them back.
    private func writePictures(
        _ description: ObjectDescription, to path: String, sources: [SegmentationSource]
    ) throws(ObjectError) {
        try PicturesInstance.write(description, sources: sources, masks: stack.masks, to: path)
        try PicturesReader.verify(path: path, description: description, sources: sources, masks: stack.masks)
    }

    private func hash(_ path: String) throws(Refusal) -> (String, Int) {
        do {
            let file = try MappedFile(path: path)
            var hash = SHA256()
            hash.update(bufferPointer: file.bytes)
            return (hash.finalize().hexadecimal, file.bytes.count)
        } catch { throw .hindered("could not read the object back: \(error)") }
    }
}
