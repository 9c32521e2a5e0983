// SPDX-License-Identifier: Apache-2.0

import Platform

extension WeightStore {
    /// The result of a comparison of weights with their record.
    public struct Verification: Sendable, Hashable, Codable {
        /// The name of the weights.
        public var name: String
        /// The difference from the record, or `nil` if the file has the recorded hash.
        public var problem: String?

        /// Creates a result.
        public init(name: String, problem: String? = nil) {
            self.name = name
            self.problem = problem
        }
    }

    /// Reads every installed file and compares its hash with its record.
    ///
    /// - Parameter progress: receives the progress of the step `verifying`.
    /// - Returns: a result per weights.
    /// - Throws: `WeightStoreError` if the folder or a record cannot be read.
    public func verify(progress: Progress = { _, _, _ in }) throws(WeightStoreError) -> [Verification] {
        let all = try installed()
        let total = all.reduce(0) { $0 + $1.bytes }
        var before = 0
        return all.map { weights in
            defer { before += weights.bytes }
            return Verification(
                name: weights.name,
                problem: Self.problem(of: weights) { done in progress(.verifying, before + done, total) })
        }
    }

    private static func problem(of weights: InstalledWeights, progress: (Int) -> Void) -> String? {
        do throws(CheckpointError) {
            let file = try CheckpointFile(path: weights.path)
            guard file.size == weights.bytes else {
                return "the file has \(file.size) bytes, but its record says \(weights.bytes)"
            }
            let found = try hash(file) { done, _ in progress(done) }
            return found == weights.sha256
                ? nil : "the file's SHA-256 is \(found), but its record says \(weights.sha256)"
        } catch {
            return "\(error)"
        }
    }

    /// Computes the SHA-256 of a whole file.
    ///
    /// - Parameters:
    ///   - file: the file.
    ///   - progress: receives the number of bytes done and the total.
    ///   - look: receives the file piece by piece from its beginning.
    /// - Returns: 64 lower-case hexadecimal digits.
    /// - Throws: `CheckpointError.unreadable`, and the errors of `look`.
    static func hash(
        _ file: CheckpointFile, progress: (Int, Int) -> Void,
        piece look: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void = { _ in }
    ) throws(CheckpointError) -> String {
        var hasher = SHA256()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: TensorReader.chunk, alignment: 64)
        defer { buffer.deallocate() }
        for start in stride(from: 0, to: file.size, by: buffer.count) {
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, file.size - start)])
            try file.read(at: start, into: piece)
            try look(UnsafeRawBufferPointer(piece))
            hasher.update(bufferPointer: UnsafeRawBufferPointer(piece))
            progress(start + piece.count, file.size)
        }
        return hasher.finalize().hexadecimal
    }

    // MARK: files

    /// The name of a file while it is written.
    static let unfinished = ".unfinished"

    /// The files of this store that no record names: the remains of a crash or a removal.
    func strays() throws(WeightStoreError) -> [String] {
        let named = Set(try installed().map { String($0.path.dropFirst(folder.utf8.count + 1)) })
        return try fileNames().filter { file in
            file == Self.unfinished || Self.isWeightFile(file) && !named.contains(file)
        }
    }

    /// Whether a file has the name of weights, `NAME-<16 digits>.safetensors`.
    ///
    /// Files with other names are never removed.
    private static func isWeightFile(_ file: String) -> Bool {
        guard file.hasSuffix(".safetensors") else { return false }
        let stem = file.dropLast(".safetensors".count)
        let digits = stem.suffix(16)
        return digits.count == 16 && digits.allSatisfy { $0.isASCII && $0.isHexDigit && !$0.isUppercase }
            && stem.dropLast(16).last == "-"
    }
}
