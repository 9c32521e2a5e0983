// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Platform
import Supervision

extension SegmentedStack {
    /// Reads the answer to a request back from the stored SEG that the request names.
    ///
    /// Frames are found by the SOP Instance UID and the frame number of their source. The node names a SEG only for the
    /// images, recipe, weights and options that it was made of; this initializer does not compare them.
    ///
    /// - Returns: `nil` if the request does not name a SEG, or if the file cannot be read, has other bytes than it had,
    ///   or does not fit the sources. The segmenter must run then.
    init?(storedAnswerOf request: SegmentRequest, for sources: StackSources) {
        guard let answer = request.answer, Self.hash(of: answer.path) == answer.sha256,
            let stored = try? SegmentationReader(path: answer.path), var confidence = stored.confidence,
            request.outputs.allSatisfy({ $0.description.type == stored.type }),
            // A fractional SEG holds probabilities, and not the mask that other objects show and measure.
            stored.type == .binary || request.outputs.allSatisfy(\.description.kind.holdsAnswer)
        else { return nil }
        var places: [FramePlace: Int] = [:]
        var count = 0
        for source in sources.instances {
            let header = source.file.header
            guard header.rows == stored.rows, header.columns == stored.columns else { return nil }
            for number in source.frameNumbers ?? Array(1...header.numberOfFrames) {
                places[FramePlace(uid: header.sopInstanceUID, number: number)] = count
                count += 1
            }
        }
        guard places.count == count else { return nil }
        confidence.value = answer.confidence
        self.confidence = confidence
        isReused = true
        masks = [Mask](repeating: Mask(rows: stored.rows, columns: stored.columns), count: count)
        frameConfidence = [Confidence](repeating: Confidence(value: 0, measures: [:]), count: count)
        if stored.type == .fractional {
            let nothing = [Float](repeating: 0, count: stored.rows * stored.columns)
            probabilities = [[Float]](repeating: nothing, count: count)
        }
        for frame in stored.frames {
            // Each place is taken out, so that a second frame of it is noticed.
            let key = FramePlace(uid: frame.sourceInstanceUID, number: frame.sourceFrameNumber ?? 1)
            guard let place = places.removeValue(forKey: key), let confidence = frame.confidence,
                frame.values.contains(where: { $0 > 0 })
            else { return nil }
            masks[place] = Mask(
                rows: stored.rows, columns: stored.columns, pixels: frame.values.map { $0 > 0 ? 1 : 0 })
            if stored.type == .fractional { probabilities[place] = frame.values.map { Float($0) / 255 } }
            frameConfidence[place] = confidence
        }
        guard !stored.frames.isEmpty else { return nil }
    }

    /// A frame of a source.
    private struct FramePlace: Hashable {
        let uid: String
        let number: Int
    }

    /// SHA-256 of a file in hexadecimal digits; `nil` if it cannot be read.
    private static func hash(of path: String) -> String? {
        guard let file = try? MappedFile(path: path) else { return nil }
        var hash = SHA256()
        hash.update(bufferPointer: file.bytes)
        return hash.finalize().hexadecimal
    }
}
