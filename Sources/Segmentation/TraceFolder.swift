// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Inference

/// Writes what a network took in and gave out into a folder: one safetensors file for each frame or slice, named for its
/// place in the stack, such as `0001.safetensors`; those of crops are called `0001-crop1.safetensors` and so on.
public final class TraceFolder: SegmentationTrace {
    private let folder: String
    /// Added to the indices of frames: a long stack is segmented in parts.
    public var firstIndex = 0
    /// How many files were written.
    public private(set) var count = 0

    /// - Parameter folder: made when the first frame comes.
    public init(folder: String) { self.folder = folder }

    public func record(_ frame: TracedFrame) throws {
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
