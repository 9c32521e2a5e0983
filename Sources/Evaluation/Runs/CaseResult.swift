// SPDX-License-Identifier: Apache-2.0

internal import Foundation
public import Imaging
internal import Platform
internal import Synchronization

/// The result of one case with one segmenter: one line of `results.jsonl`.
public struct CaseResult: Sendable, Hashable, Codable {
    /// Identifies finished work: the same unchanged case with the same recipe, weights and prompt.
    public struct Key: Sendable, Hashable, Codable {
        /// The case's id.
        public var caseID: String
        /// Digest of the case's files.
        public var digest: String
        /// The segmenter's name.
        public var segmenter: String
        /// Version of the recipe.
        public var version: String
        /// SHA-256 of the weights.
        public var weightsHash: String
        /// The source of the prompt.
        public var prompt: PromptPlan

        init(_ source: EvaluationCase, digest: String, plan: SegmenterPlan) {
            caseID = source.id
            self.digest = digest
            segmenter = plan.segmenter.descriptor.name
            version = plan.segmenter.descriptor.version
            weightsHash = plan.segmenter.descriptor.weightsHash
            prompt = plan.prompt
        }
    }

    /// Identifies the work.
    public var key: Key
    /// The segmenter's name in reports.
    public var name: String
    /// The case's group.
    public var group: String?
    /// Frame or volume.
    public var kind: EvaluationCase.Kind
    /// The number of frames or slices.
    public var frames: Int
    /// The reason why the case does not have scores; `nil` if it has.
    public var failure: String?
    /// Scores of the answer.
    public var scores: CaseScores?
    /// Confidence of the answer.
    public var confidence: Confidence?
    /// Properties of the image and its truth.
    public var traits: CaseTraits?
    /// Seconds from request to answer.
    ///
    /// They include decoding, inference and the writing of masks. If the worker had to start or to
    /// load weights, they include that too.
    public var seconds: Double?
    /// The number of boxes that were taken from the truth; `nil` in results of an earlier version.
    public var prompts: Int?
    /// Largest resident memory of the worker during the case, bytes.
    public var peakMemory: Int?
    /// Paths of PNG masks relative to the output folder, one per frame.
    public var masks: [String]
    /// The segmenter's remarks on the answer.
    public var notes: [String]
    /// Scores of other choices among the same masks; `nil` for a segmenter that does not choose.
    public var baselines: [BaselineChoice]?

    init(_ source: EvaluationCase, digest: String, plan: SegmenterPlan) {
        key = Key(source, digest: digest, plan: plan)
        name = plan.name
        group = source.group
        kind = source.kind
        frames = source.images.count
        masks = []
        notes = []
    }
}

/// The file `results.jsonl` with one result per line.
///
/// An evaluation that was stopped continues from it.
public final class ResultLog: Sendable {
    private let path: String
    private let known: Mutex<[CaseResult.Key: CaseResult]>
    private let file: Mutex<FileDescriptor>

    /// Opens the file, or makes it, and reads its results.
    ///
    /// A line that was cut off, or that cannot be decoded, is skipped. Its case is segmented again.
    ///
    /// - Throws: `EvaluationError.unwritable`.
    public init(path: String) throws(EvaluationError) {
        self.path = path
        var results: [CaseResult.Key: CaseResult] = [:]
        let data = FileManager.default.contents(atPath: path) ?? Data()
        for line in data.split(separator: UInt8(ascii: "\n")) {
            guard let result = try? JSONDecoder().decode(CaseResult.self, from: line) else { continue }
            results[result.key] = result
        }
        known = Mutex(results)
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor(path: path, for: .appending)
        } catch {
            throw .unwritable(path: path, reason: error.reason)
        }
        file = Mutex(descriptor)
        // The next line must not join a line that was cut off.
        if let last = data.last, last != UInt8(ascii: "\n") { try write(Data("\n".utf8)) }
    }

    /// The result with this key; `nil` if it is missing or a failure.
    public func result(_ key: CaseResult.Key) -> CaseResult? {
        known.withLock { $0[key] }.flatMap { $0.failure == nil ? $0 : nil }
    }

    /// Appends a result to the file at once.
    ///
    /// - Throws: `EvaluationError.unwritable`.
    public func append(_ result: CaseResult) throws(EvaluationError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            try write(try encoder.encode(result) + Data("\n".utf8))
        } catch let error as EvaluationError {
            throw error
        } catch {
            throw .unwritable(path: path, reason: "\(error)")
        }
        known.withLock { $0[result.key] = result }
    }

    private func write(_ line: Data) throws(EvaluationError) {
        do {
            try file.withLock { file in try line.withUnsafeBytes { try file.write($0) } }
        } catch {
            throw .unwritable(path: path, reason: (error as? SystemCallError)?.reason ?? "\(error)")
        }
    }
}
