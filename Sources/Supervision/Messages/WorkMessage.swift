// SPDX-License-Identifier: Apache-2.0
//
// The protocol between the node and its workers: one JSON message per line. The node writes requests of at most 1 MiB
// to one pipe. The worker writes progress lines and one response per request, of at most 16 MiB, to the other pipe. Each
// side checks the messages that it reads.

import Foundation
import Imaging

/// A line that a worker writes.
public enum WorkMessage: Sendable, Hashable, Codable {
    case progress(WorkProgress)
    case response(WorkResponse)

    /// Bytes of the longest request, without its line end.
    public static let limit = 1 << 20
    /// Bytes of the longest message of a worker, without its line end.
    ///
    /// The outcome of 100,000 frames with a finding, six measures and overlays takes about 8 MiB.
    public static let answerLimit = 16 << 20
    /// Most sources of one stack.
    ///
    /// A request with more sources would exceed ``limit``.
    public static let sourceLimit = 5000

    /// Encodes a request as a line, line end included.
    ///
    /// - Throws: `WorkMessageError` if the request contradicts itself or is too long.
    public static func line(_ request: WorkRequest) throws(WorkMessageError) -> [UInt8] {
        try request.check()
        return try encoded(request, limit: limit)
    }

    /// Encodes a message of a worker as a line, line end included.
    ///
    /// - Throws: `WorkMessageError` if the message is too long.
    public static func line(_ message: WorkMessage) throws(WorkMessageError) -> [UInt8] {
        try encoded(message, limit: answerLimit)
    }

    /// Reads a line without its line end.
    ///
    /// - Throws: `WorkMessageError` if the line is not a message, or if the message contradicts itself.
    public init(line: [UInt8]) throws(WorkMessageError) {
        self = try WorkMessage.decoded(line, limit: Self.answerLimit)
        try check()
    }

    private static func encoded(_ value: some Encodable, limit: Int) throws(WorkMessageError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        guard let data = try? encoder.encode(value) else { throw .malformed(reason: "the value cannot be encoded") }
        guard data.count <= limit else { throw .tooLong(bytes: data.count, limit: limit) }
        return Array(data) + [UInt8(ascii: "\n")]
    }

    fileprivate static func decoded<Value: Decodable>(
        _ line: [UInt8], limit: Int
    ) throws(WorkMessageError) -> Value {
        guard line.count <= limit else { throw .tooLong(bytes: line.count, limit: limit) }
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        do {
            return try decoder.decode(Value.self, from: Data(line))
        } catch let error as DecodingError {
            throw .malformed(reason: reason(error))
        } catch {
            throw .malformed(reason: "it is not JSON")
        }
    }

    /// The place of the mistake in the message.
    ///
    /// The text does not quote values, which may identify a patient.
    private static func reason(_ error: DecodingError) -> String {
        func place(_ path: [any CodingKey]) -> String { path.map(\.stringValue).joined(separator: ".") }
        return switch error {
        case .keyNotFound(let key, let context): "\(place(context.codingPath + [key])) is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            "\(place(context.codingPath)) has another type"
        case .dataCorrupted(let context):
            context.codingPath.isEmpty ? "it is not JSON" : "the value of \(place(context.codingPath)) is not valid"
        @unknown default: "it is not JSON"
        }
    }

    /// Checks the rules that the type cannot express.
    private func check() throws(WorkMessageError) {
        switch self {
        case .progress(let progress):
            guard 0 <= progress.done, progress.done <= progress.total else {
                throw .invalid(reason: "progress counts \(progress.done) of \(progress.total) steps")
            }
        case .response(.segmented(let outcome)):
            guard outcome.frames > 0, outcome.leftOut >= 0, outcome.frameConfidence.count == outcome.frames,
                outcome.frameMeasures.values.allSatisfy({ $0.count == outcome.frames }),
                outcome.foundFrames.allSatisfy({ 0 <= $0 && $0 < outcome.frames })
            else { throw .invalid(reason: "the outcome contradicts its own count of \(outcome.frames) frames") }
        case .response(.quarantine(let reason)), .response(.unfit(let reason)), .response(.failed(let reason)),
            .response(.hindered(let reason)):
            guard !reason.isEmpty, reason.utf8.count <= 4096 else {
                throw .invalid(reason: "the reason is empty or longer than 4,096 bytes")
            }
        case .response(.indexed), .response(.compared): break
        }
    }
}

extension WorkRequest {
    /// Reads a line without its line end.
    ///
    /// - Throws: `WorkMessageError` if the line is not a message, or if the message contradicts itself.
    public init(line: [UInt8]) throws(WorkMessageError) {
        self = try WorkMessage.decoded(line, limit: WorkMessage.limit)
        try check()
    }

    /// Checks the rules that the type cannot express.
    fileprivate func check() throws(WorkMessageError) {
        switch self {
        case .index(let request):
            guard request.path.hasPrefix("/") else { throw .invalid(reason: "the path of a file is not absolute") }
        case .compare(let request):
            guard request.path.hasPrefix("/"), request.otherPath.hasPrefix("/") else {
                throw .invalid(reason: "the path of a file is not absolute")
            }
        case .segment(let request):
            let others = [
                request.overlayFolder, request.maskFolder, request.dumpFolder, request.candidateFolder,
                request.weights?.path, request.answer?.path,
            ]
            for path in [request.folder] + request.outputs.map(\.path) + others.compactMap({ $0 }) {
                guard path.hasPrefix("/") else { throw .invalid(reason: "the path of a file is not absolute") }
            }
            guard request.weights.map({ $0.sha256 == request.segmenter.weightsHash }) ?? true else {
                throw .invalid(reason: "the weights are not the segmenter's")
            }
            guard request.form == .instances || request.outputs.isEmpty else {
                throw .invalid(reason: "pictures cannot become a SEG")
            }
            guard request.framesPerSecond.map({ $0 > 0 && $0.isFinite }) ?? true else {
                throw .invalid(reason: "the number of frames per second is not positive")
            }
            guard !request.sources.isEmpty else { throw .invalid(reason: "the stack has no sources") }
            guard request.sources.count <= WorkMessage.sourceLimit else {
                throw .invalid(
                    reason: "the stack has \(request.sources.count) instances; the limit is \(WorkMessage.sourceLimit)")
            }
            for source in request.sources {
                guard !source.path.isEmpty, !source.path.hasPrefix("/"),
                    !source.path.split(separator: "/").contains("..")
                else { throw .invalid(reason: "a source is outside the folder") }
                guard source.frameNumbers?.allSatisfy({ $0 > 0 }) ?? true else {
                    throw .invalid(reason: "a frame number is less than 1")
                }
            }
            guard Set(request.outputs.map(\.path)).count == request.outputs.count else {
                throw .invalid(reason: "two outputs have the same path")
            }
        }
    }
}

/// A line that is not a valid message.
public enum WorkMessageError: Error, Sendable, Hashable, CustomStringConvertible {
    case tooLong(bytes: Int, limit: Int)
    case malformed(reason: String)
    case invalid(reason: String)

    public var description: String {
        switch self {
        case .tooLong(let bytes, let limit): "the message has \(bytes) bytes; the limit is \(limit)"
        case .malformed(let reason): "not a message: \(reason)"
        case .invalid(let reason): "not a valid message: \(reason)"
        }
    }
}
