// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Synchronization

/// Results as they come, one JSON object a line: what makes an evaluation that was stopped go on where it was.
public final class ResultLog: Sendable {
    private let path: String
    private let known: Mutex<[CaseResult.Key: CaseResult]>
    private let file: FileHandle

    /// Opens the file, made when missing, and reads what is in it. A line that was cut off, or that an older program
    /// wrote, is passed over: its case is done again.
    ///
    /// - Throws: `EvaluationError`.
    public init(path: String) throws(EvaluationError) {
        self.path = path
        var results: [CaseResult.Key: CaseResult] = [:]
        let data = FileManager.default.contents(atPath: path) ?? Data()
        for line in data.split(separator: UInt8(ascii: "\n")) {
            guard let result = try? JSONDecoder().decode(CaseResult.self, from: line) else { continue }
            results[result.key] = result
        }
        known = Mutex(results)
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw .unwritable(path: path, reason: String(cString: strerror(errno)))
        }
        file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        // What was cut off must not join the next line.
        if let last = data.last, last != UInt8(ascii: "\n") { try? file.write(contentsOf: Data("\n".utf8)) }
    }

    /// The finished result with this key.
    public func result(_ key: CaseResult.Key) -> CaseResult? {
        known.withLock { $0[key] }.flatMap { $0.failure == nil ? $0 : nil }
    }

    /// Writes a result down at once.
    ///
    /// - Throws: `EvaluationError.unwritable`.
    public func append(_ result: CaseResult) throws(EvaluationError) {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            try file.write(contentsOf: try encoder.encode(result) + Data("\n".utf8))
        } catch {
            throw .unwritable(path: path, reason: error.localizedDescription)
        }
        known.withLock { $0[result.key] = result }
    }
}
