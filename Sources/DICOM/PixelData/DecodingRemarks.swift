// SPDX-License-Identifier: Apache-2.0

/// What a decoder mended in the pixels of one instance, in words for the record.
///
/// One object belongs to one decoder, and thus to one thread.
final class DecodingRemarks {
    /// The most remarks that are kept: a damaged clip has one for each frame.
    private static let limit = 20

    /// The remarks in the order in which they arose, each once, without patient data.
    private(set) var all: [String] = []
    private var dropped = 0

    /// Adds a remark, unless it is known.
    func add(_ remark: String) {
        guard !all.contains(remark) else { return }
        guard all.count < Self.limit else {
            dropped += 1
            all[Self.limit - 1] = "\(dropped + 1) more remarks of this kind"
            return
        }
        all.append(remark)
    }
}
