// SPDX-License-Identifier: Apache-2.0

public import Foundation
public import Imaging
public import Inference
internal import Platform

/// Writes a network's inputs and outputs into one folder, and candidate masks into another.
///
/// The first folder gets one safetensors file per frame or slice, named for its place in the stack,
/// such as `0001.safetensors`. Files of crops are called `0001-crop1.safetensors` and so on. The
/// second folder gets `0001.json` and so on, each with one `CandidateMasks`.
public final class TraceFolder: SegmentationTrace {
    private let folder: String?
    private let candidateFolder: String?
    /// Added to the indices of frames, because a long stack is segmented in parts.
    public var firstIndex = 0
    /// The number of safetensors files written.
    public private(set) var count = 0

    /// Names the folders.
    ///
    /// Each is made when its first file is written.
    ///
    /// - Parameters:
    ///   - folder: for inputs and outputs; `nil` does not record them.
    ///   - candidates: for candidate masks; `nil` does not record them.
    public init(folder: String?, candidates: String? = nil) {
        (self.folder, candidateFolder) = (folder, candidates)
    }

    public var wantsTensors: Bool { folder != nil }
    public var wantsCandidates: Bool { candidateFolder != nil }

    public func record(_ candidates: CandidateMasks, of index: Int) throws {
        guard let candidateFolder else { return }
        let name = String(format: "%04d.json", firstIndex + index + 1)
        let json = try JSONEncoder().encode(candidates)
        try Self.write(to: candidateFolder, name) { file in try json.withUnsafeBytes { try file.write($0) } }
    }

    public func record(_ frame: TracedFrame) throws {
        guard let folder else { return }
        let place = String(format: "%04d", firstIndex + frame.index + 1) + (frame.crop > 0 ? "-crop\(frame.crop)" : "")
        let tensors = frame.tensors
        try Self.write(to: folder, "\(place).safetensors") { file in
            try Self.header(tensors).withUnsafeBytes { try file.write($0) }
            for (_, tensor) in tensors { try tensor.values.withUnsafeBytes { try file.write($0) } }
        }
        count += 1
    }

    /// Writes a file, and makes its folder if it is missing.
    private static func write(to folder: String, _ name: String, _ body: (FileDescriptor) throws -> Void) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        do {
            try body(FileDescriptor(path: "\(folder)/\(name)", for: .replacing))
        } catch let error as SystemCallError {
            throw TraceError(description: "could not write \(name) in \(folder): \(error.reason)")
        }
    }

    /// The start of a safetensors file before the values: the length of the header, and the header
    /// as JSON.
    private static func header(_ tensors: [(name: String, tensor: Tensor)]) -> Data {
        var entries: [String] = []
        var end = 0
        for (name, tensor) in tensors {
            let start = end
            end += tensor.values.count * 4
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            entries.append(#""\#(name)":{"dtype":"F32","shape":[\#(shape)],"data_offsets":[\#(start),\#(end)]}"#)
        }
        var header = Data("{\(entries.joined(separator: ","))}".utf8)
        // Values start at a multiple of 8 bytes.
        header.append(contentsOf: [UInt8](repeating: UInt8(ascii: " "), count: (8 - header.count % 8) % 8))
        return withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) } + header
    }
}

/// The reason why a trace could not be written.
public struct TraceError: Error, CustomStringConvertible {
    /// The file, its folder, and the system's words.
    public let description: String
}

/// The masks of one frame among which a segmenter chose.
public struct CandidateMasks: Sendable, Hashable, Codable {
    /// Masks of the frame's size.
    public var masks: [RunLengths]

    /// Keeps the masks in the order in which the segmenter made them.
    public init(_ masks: [RunLengths]) { self.masks = masks }

    /// Reads a file that `TraceFolder` wrote.
    ///
    /// The result is `nil` if the file does not hold a list of masks of this size.
    ///
    /// - Parameters:
    ///   - json: the content of the file.
    ///   - rows: rows of the frame.
    ///   - columns: columns of the frame.
    public init?(json: Data, rows: Int, columns: Int) {
        guard let found = try? JSONDecoder().decode(CandidateMasks.self, from: json),
            found.masks.allSatisfy({ mask in
                mask.height == rows && mask.width == columns
                    && mask.counts.allSatisfy { (0...rows * columns).contains($0) }
                    && mask.counts.reduce(0, +) == rows * columns
            })
        else { return nil }
        self = found
    }

    /// The mask with the best Dice; this choice needs the truth.
    ///
    /// - Parameter truth: the true mask, of the frame's size.
    /// - Returns: the first of equally good masks. The mask is empty if `truth` is, or without
    ///   candidates.
    public func best(with truth: Mask) -> Mask {
        guard !truth.isEmpty else { return Mask(rows: truth.rows, columns: truth.columns) }
        let all = masks.map { Mask(rows: truth.rows, columns: truth.columns, pixels: $0.pixels) }
        let scores = all.map { Dice.score($0, truth) }
        let best = scores.indices.max { (scores[$0], $1) < (scores[$1], $0) }
        return best.map { all[$0] } ?? Mask(rows: truth.rows, columns: truth.columns)
    }

    /// The mask with the most pixels, which can be chosen without a rule.
    ///
    /// - Parameters:
    ///   - rows: rows of the frame.
    ///   - columns: columns of the frame.
    /// - Returns: the first of equally large masks; an empty mask without candidates.
    public func largest(rows: Int, columns: Int) -> Mask {
        let largest = masks.indices.max { (masks[$0].area, $1) < (masks[$1].area, $0) }
        return largest.map { Mask(rows: rows, columns: columns, pixels: masks[$0].pixels) }
            ?? Mask(rows: rows, columns: columns)
    }
}
