// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Inference

/// Writes what a network took in and gave out into a folder, and the masks that were chosen from into another. Of the
/// former there is one safetensors file for each frame or slice, named for its place in the stack, such as
/// `0001.safetensors`; those of crops are called `0001-crop1.safetensors` and so on.
public final class TraceFolder: SegmentationTrace {
    private let folder: String?
    private let candidateFolder: String?
    /// Added to the indices of frames: a long stack is segmented in parts.
    public var firstIndex = 0
    /// How many files were written.
    public private(set) var count = 0

    /// - Parameters:
    ///   - folder: made when the first frame comes; `nil`: what a network saw is not written.
    ///   - candidates: likewise, for masks that were chosen from: `0001.json` and so on, `CandidateMasks`.
    public init(folder: String?, candidates: String? = nil) {
        (self.folder, candidateFolder) = (folder, candidates)
    }

    public var wantsTensors: Bool { folder != nil }
    public var wantsCandidates: Bool { candidateFolder != nil }

    public func record(_ candidates: CandidateMasks, of index: Int) throws {
        guard let candidateFolder else { return }
        try FileManager.default.createDirectory(atPath: candidateFolder, withIntermediateDirectories: true)
        let name = String(format: "%04d.json", firstIndex + index + 1)
        try JSONEncoder().encode(candidates).write(to: URL(filePath: "\(candidateFolder)/\(name)"))
    }

    public func record(_ frame: TracedFrame) throws {
        guard let folder else { return }
        let place = String(format: "%04d", firstIndex + frame.index + 1) + (frame.crop > 0 ? "-crop\(frame.crop)" : "")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let url = URL(filePath: "\(folder)/\(place).safetensors")
        let tensors = frame.tensors
        try Self.header(tensors).write(to: url)
        let file = try FileHandle(forWritingTo: url)
        try file.seekToEnd()
        for (_, tensor) in tensors {
            try tensor.values.withUnsafeBytes { try file.write(contentsOf: $0) }
        }
        try file.close()
        count += 1
    }

    /// The beginning of a safetensors file, before the values one after the other: the length of a header, the header as
    /// JSON.
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
        // Values begin at a multiple of 8 bytes.
        header.append(contentsOf: [UInt8](repeating: UInt8(ascii: " "), count: (8 - header.count % 8) % 8))
        return withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) } + header
    }
}
