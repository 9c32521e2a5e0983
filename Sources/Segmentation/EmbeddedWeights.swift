// SPDX-License-Identifier: Apache-2.0

internal import CWeights
internal import Inference

/// A weight file that ships inside the executable.
struct EmbeddedWeights {
    /// SHA-256 of the file as it was embedded, 64 hexadecimal digits.
    let sha256: String
    private let bytes: UnsafePointer<UInt8>
    private let size: Int

    /// - Parameter segmenter: a recipe's name; its file was embedded by the build.
    init(of segmenter: String) {
        guard let found = Self(shipped: segmenter) else {
            preconditionFailure(
                "Sources/CWeights has no weights of \(segmenter): run python -m training.exporting.embed")
        }
        self = found
    }

    /// - Parameter name: of a network; `nil` when none of that name was embedded by the build.
    init?(shipped name: String) {
        let files = UnsafeBufferPointer(start: cweights_files, count: cweights_count)
        guard let file = files.first(where: { String(cString: $0.name) == name }), let bytes = file.bytes else {
            return nil
        }
        sha256 = String(cString: file.sha256)
        self.bytes = bytes
        size = file.size
    }

    /// The file, after its bytes were found to have the hash they are named for.
    ///
    /// - Throws: `WeightFileError`.
    func open() throws(WeightFileError) -> SafeTensors {
        let file = try SafeTensors(embedded: bytes, count: size)
        let found = file.sha256
        guard found == sha256 else {
            throw .unreadable(path: "the embedded weights", reason: "their SHA-256 is \(found), not \(sha256)")
        }
        return file
    }
}
