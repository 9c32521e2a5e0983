// SPDX-License-Identifier: Apache-2.0
//
// The protocol between the node and its workers: JSON, one message a line, at most 1 MiB each. Requests go down one
// pipe; progress lines and in the end one response come up the other. Both sides check what they read.

import Foundation
import Imaging

/// What a worker writes.
public enum WorkMessage: Sendable, Hashable, Codable {
    case progress(WorkProgress)
    case response(WorkResponse)

    /// Bytes of the longest message, its line end not counted.
    public static let limit = 1 << 20
    /// Sources of one stack: beyond it a request would not fit its line.
    public static let sourceLimit = 5000

    /// A message as a line, line end included.
    public static func line(_ request: WorkRequest) throws(WorkMessageError) -> [UInt8] {
        try request.check()
        return try encoded(request)
    }

    /// A message as a line, line end included.
    public static func line(_ message: WorkMessage) throws(WorkMessageError) -> [UInt8] { try encoded(message) }

    /// Reads a line, its end taken off.
    public init(line: [UInt8]) throws(WorkMessageError) {
        self = try WorkMessage.decoded(line)
        try check()
    }

    private static func encoded(_ value: some Encodable) throws(WorkMessageError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        guard let data = try? encoder.encode(value) else { throw .malformed(reason: "it cannot be encoded") }
        guard data.count <= limit else { throw .tooLong(bytes: data.count) }
        return Array(data) + [UInt8(ascii: "\n")]
    }

    fileprivate static func decoded<Value: Decodable>(_ line: [UInt8]) throws(WorkMessageError) -> Value {
        guard line.count <= limit else { throw .tooLong(bytes: line.count) }
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        do {
            return try decoder.decode(Value.self, from: Data(line))
        } catch let error as DecodingError {
            throw .malformed(reason: reason(error))
        } catch {
            throw .malformed(reason: "it is no JSON")
        }
    }

    /// Where a message is wrong; never a value of it.
    private static func reason(_ error: DecodingError) -> String {
        func place(_ path: [any CodingKey]) -> String { path.map(\.stringValue).joined(separator: ".") }
        return switch error {
        case .keyNotFound(let key, let context): "\(place(context.codingPath + [key])) is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            "\(place(context.codingPath)) has another type"
        case .dataCorrupted(let context):
            context.codingPath.isEmpty ? "it is no JSON" : "\(place(context.codingPath)) has no valid value"
        @unknown default: "it is no JSON"
        }
    }

    /// What the type cannot say about an answer.
    private func check() throws(WorkMessageError) {
        switch self {
        case .progress(let progress):
            guard 0 <= progress.done, progress.done <= progress.total else {
                throw .invalid(reason: "progress of \(progress.done) in \(progress.total)")
            }
        case .response(.segmented(let outcome)):
            guard outcome.frames > 0, outcome.frameConfidence.count == outcome.frames,
                outcome.frameMeasures.values.allSatisfy({ $0.count == outcome.frames }),
                outcome.foundFrames.allSatisfy({ 0 <= $0 && $0 < outcome.frames })
            else { throw .invalid(reason: "an outcome that contradicts itself about its \(outcome.frames) frames") }
        case .response(.quarantine(let reason)), .response(.unfit(let reason)), .response(.failed(let reason)),
            .response(.hindered(let reason)):
            guard !reason.isEmpty, reason.utf8.count <= 4096 else { throw .invalid(reason: "a reason without words") }
        case .response(.indexed): break
        }
    }
}

extension WorkRequest {
    /// Reads a line, its end taken off.
    public init(line: [UInt8]) throws(WorkMessageError) {
        self = try WorkMessage.decoded(line)
        try check()
    }

    /// What the type cannot say about a question.
    fileprivate func check() throws(WorkMessageError) {
        switch self {
        case .index(let request):
            guard request.path.hasPrefix("/") else { throw .invalid(reason: "a file without an absolute path") }
        case .segment(let request):
            let others = [
                request.overlayFolder, request.maskFolder, request.dumpFolder, request.candidateFolder,
                request.weights?.path,
            ]
            for path in [request.folder] + request.outputs.map(\.path) + others.compactMap({ $0 }) {
                guard path.hasPrefix("/") else { throw .invalid(reason: "a file without an absolute path") }
            }
            guard request.weights.map({ $0.sha256 == request.segmenter.weightsHash }) ?? true else {
                throw .invalid(reason: "weights other than the segmenter's")
            }
            guard request.form == .instances || request.outputs.isEmpty else {
                throw .invalid(reason: "a SEG of pictures")
            }
            guard !request.sources.isEmpty else { throw .invalid(reason: "a stack without sources") }
            guard request.sources.count <= WorkMessage.sourceLimit else {
                throw .invalid(
                    reason:
                        "a stack of \(request.sources.count) instances, at most \(WorkMessage.sourceLimit) are taken")
            }
            for source in request.sources {
                guard !source.path.isEmpty, !source.path.hasPrefix("/"),
                    !source.path.split(separator: "/").contains("..")
                else { throw .invalid(reason: "a source outside its folder") }
                guard source.frameNumbers?.allSatisfy({ $0 > 0 }) ?? true else {
                    throw .invalid(reason: "frames are counted from 1")
                }
            }
            guard Set(request.outputs.map(\.path)).count == request.outputs.count else {
                throw .invalid(reason: "two outputs of one name")
            }
        }
    }
}

/// Why a line is no message.
public enum WorkMessageError: Error, Sendable, Hashable, CustomStringConvertible {
    case tooLong(bytes: Int)
    case malformed(reason: String)
    case invalid(reason: String)

    public var description: String {
        switch self {
        case .tooLong(let bytes): "a message of \(bytes) bytes, at most \(WorkMessage.limit) are allowed"
        case .malformed(let reason): "not a message: \(reason)"
        case .invalid(let reason): "not a valid message: \(reason)"
        }
    }
}
