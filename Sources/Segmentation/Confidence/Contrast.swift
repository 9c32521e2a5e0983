// SPDX-License-Identifier: Apache-2.0

internal import Imaging

/// Finds images without contrast.
///
/// The mask of such an image says nothing about the patient, whether it is empty or not. Its confidence is therefore 0.
enum Contrast {
    /// The note on a volume without contrast.
    static let note = "nothing can be seen: all pixels have one value"

    /// Whether all numbers are equal.
    static func isMissing(in values: some Collection<some Equatable>) -> Bool {
        guard let first = values.first else { return true }
        return values.allSatisfy { $0 == first }
    }

    /// Whether all pixels of a frame have one colour.
    static func isMissing(in frame: Frame) -> Bool {
        let channels = frame.channels
        return frame.samples.withUnsafeBuffers { bytes, floats in
            if let bytes { return bytes.indices.allSatisfy { bytes[$0] == bytes[$0 % channels] } }
            return floats.map { floats in floats.indices.allSatisfy { floats[$0] == floats[$0 % channels] } } ?? true
        }
    }
}

extension SegmenterResult {
    /// Takes all confidence from the answer for a volume without contrast, and adds a note.
    mutating func doubtWithoutContrast() {
        confidence.value = 0
        for index in frameConfidence.indices { frameConfidence[index].value = 0 }
        notes.append(Contrast.note)
    }
}
