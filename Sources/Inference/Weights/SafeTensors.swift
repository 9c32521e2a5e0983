// SPDX-License-Identifier: Apache-2.0
//
// The safetensors file format (huggingface/safetensors, README.md, "Format"): 8 bytes with the
// little-endian length N of the header, N bytes of JSON, then the bytes of the tensors. This reader
// takes whole files with the types F32, F16 and BF16. Like the reference, it refuses files with
// overlapping tensors and files with bytes that do not belong to a tensor.

public import Foundation
import Platform

/// An error in a weight file.
public enum WeightFileError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The file cannot be opened or mapped, or its hash is wrong.
    case unreadable(path: String, reason: String)
    /// The file does not even have the 8 bytes of the header's length.
    case tooShort(bytes: Int)
    /// The header is longer than the file or than `SafeTensors.largestHeader`.
    case headerLength(UInt64, file: Int)
    /// The JSON of the header is not valid.
    case header(reason: String)
    /// The header describes a tensor wrongly, or a type that is not read.
    case tensor(String, reason: String)
    /// Some bytes of the file do not belong to a tensor.
    case layout(reason: String)
    /// Two tensors share bytes of the file.
    case shared(String, with: String)
    /// A tensor that the network needs is missing.
    case missing(String)
    /// A tensor has another shape than the network needs.
    case shape(String, expected: [Int], found: [Int])

    /// The message for an operator.
    public var description: String {
        switch self {
        case .unreadable(let path, let reason): "could not read \(path): \(reason)"
        case .tooShort(let bytes): "a safetensors file has at least 8 bytes, this one has \(bytes)"
        case .headerLength(let length, let file):
            "the header of the safetensors file claims \(length) bytes, but the file has \(file)"
        case .header(let reason): "the header is not valid: \(reason)"
        case .tensor(let name, let reason): "tensor \(name): \(reason)"
        case .layout(let reason): "the tensors do not fill the file exactly: \(reason)"
        case .shared(let name, let other):
            "tensors \(other.quoted) and \(name.quoted) share bytes of the file, which safetensors does not allow; "
                + "save the file again with a copy of each tensor: tensor.clone()"
        case .missing(let name): "tensor \(name) is missing"
        case .shape(let name, let expected, let found): "tensor \(name) has shape \(found), expected \(expected)"
        }
    }
}

/// A weight file, which is checked when it is opened.
///
/// Tensors are converted to fp32 when they are requested.
public struct SafeTensors: Sendable {
    /// The longest header that is accepted: 8 MiB, a hundred times that of a ViT-H.
    public static let largestHeader: UInt64 = 8 << 20

    /// The number types that are read, named as in the file.
    enum DataType: String, Sendable, Hashable, Codable {
        case f32 = "F32"
        case f16 = "F16"
        case bf16 = "BF16"

        /// The number of bytes per number.
        var width: Int { self == .f32 ? 4 : 2 }
    }

    private struct StoredTensor: Sendable {
        let type: DataType
        let shape: [Int]
        let range: Range<Int>
    }

    private let file: WeightBytes
    private let entries: [String: StoredTensor]
    /// The file's `__metadata__`.
    public let metadata: [String: String]

    /// Maps a file.
    ///
    /// The pages of a tensor are released after the tensor was read.
    ///
    /// - Parameter path: the path of the file.
    /// - Throws: `WeightFileError`.
    public init(path: String) throws(WeightFileError) { try self.init(WeightBytes(path: path)) }

    /// Reads a file that is embedded in the executable.
    ///
    /// - Parameters:
    ///   - bytes: the first byte of the file; the bytes outlive this value.
    ///   - count: the number of bytes.
    /// - Throws: `WeightFileError`.
    public init(embedded bytes: UnsafeRawPointer, count: Int) throws(WeightFileError) {
        try self.init(WeightBytes(embedded: UnsafeRawBufferPointer(start: bytes, count: count)))
    }

    /// Reads a file from a copy of `data`.
    ///
    /// - Parameter data: the bytes of the file.
    /// - Throws: `WeightFileError`.
    public init(_ data: Data) throws(WeightFileError) { try self.init(WeightBytes(copying: data)) }

    private init(_ file: WeightBytes) throws(WeightFileError) {
        let bytes = file.bytes
        guard bytes.count >= 8 else { throw .tooShort(bytes: bytes.count) }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= Self.largestHeader, Int(length) <= bytes.count - 8 else {
            throw .headerLength(length, file: bytes.count)
        }
        let start = 8 + Int(length)
        let header = try SafeTensorsHeader(json: Data(bytes[8..<start]), bytes: bytes.count - start)
        metadata = header.metadata
        var entries = [String: StoredTensor]()
        for (name, tensor) in header.tensors {
            guard let type = DataType(rawValue: tensor.typeName) else {
                throw .tensor(name, reason: "numbers of type \(tensor.typeName) are not supported")
            }
            let range = tensor.range.lowerBound + start..<tensor.range.upperBound + start
            entries[name] = StoredTensor(type: type, shape: tensor.shape, range: range)
        }
        self.entries = entries
        self.file = file
    }

    /// The names of the tensors, sorted.
    public var names: [String] { entries.keys.sorted() }

    /// The shape of the tensor called `name`, or `nil` if it is missing.
    public func shape(of name: String) -> [Int]? { entries[name]?.shape }

    /// The SHA-256 of the whole file, 64 lower-case hexadecimal digits.
    public var sha256: String { file.sha256 }

    /// Reads a tensor and converts it to fp32.
    ///
    /// - Parameters:
    ///   - name: the name of the tensor.
    ///   - shape: the expected shape, or `nil` for any.
    /// - Returns: the tensor.
    /// - Throws: `WeightFileError.missing` or `.shape`.
    public func tensor(_ name: String, shape: [Int]? = nil) throws(WeightFileError) -> Tensor {
        let entry = try entry(name, shape: shape)
        defer { file.release(entry.range) }
        let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[entry.range])
        return Tensor(shape: entry.shape.isEmpty ? [1] : entry.shape) { entry.type.convert(bytes, to: $0) }
    }

    private func entry(_ name: String, shape: [Int]?) throws(WeightFileError) -> StoredTensor {
        guard let entry = entries[name] else { throw .missing(name) }
        if let shape, shape != entry.shape { throw .shape(name, expected: shape, found: entry.shape) }
        return entry
    }
}

extension SafeTensors.DataType {
    /// Converts stored numbers to fp32, exactly.
    ///
    /// - Parameters:
    ///   - bytes: little-endian numbers of this type, at any address.
    ///   - output: room for the same number of values.
    func convert(_ bytes: UnsafeRawBufferPointer, to output: UnsafeMutablePointer<Float>) {
        guard let source = bytes.baseAddress else { return }
        let count = bytes.count / width
        switch self {
        case .f32: UnsafeMutableRawPointer(output).copyMemory(from: source, byteCount: count * 4)
        case .f16:
            for index in 0..<count {
                output[index] = float(half: source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
            }
        case .bf16:
            for index in 0..<count {
                let high = source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
                output[index] = Float(bitPattern: UInt32(high) << 16)
            }
        }
    }
}

/// Converts IEEE 754 half precision to single precision, exactly and without a branch.
///
/// Exponent and fraction at their positions in a single give the number divided by 2^112, also for
/// subnormal numbers.
@inline(__always)
private func float(half bits: UInt16) -> Float {
    let magnitude = UInt32(bits & 0x7fff) << 13
    let scaled = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
    let special: UInt32 = magnitude >= 0x1f << 23 ? 0x7f80_0000 : 0
    return Float(bitPattern: scaled | special | UInt32(bits & 0x8000) << 16)
}

/// The bytes of a weight file: mapped, embedded in the executable, or copied.
///
/// A reader of a mapped file releases the pages that it has read. Packed weights are copies, so the pages would only
/// add to the memory of the process.
// Sendable: the bytes do not change. A released page is read again when it is touched.
private final class WeightBytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    private let origin: Backing

    private enum Backing {
        case mapped(MappedFile), embedded, copied
    }

    /// Maps the file at `path`.
    init(path: String) throws(WeightFileError) {
        do throws(MappedFile.Failure) {
            let file = try MappedFile(path: path)
            bytes = file.bytes
            origin = .mapped(file)
        } catch {
            throw .unreadable(path: path, reason: error.description)
        }
    }

    /// Refers to bytes that outlive this object, such as those in the executable.
    init(embedded bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        origin = .embedded
    }

    /// Copies the bytes of `data`.
    init(copying data: Data) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: data.count, alignment: 64)
        copy.copyBytes(from: data)
        bytes = UnsafeRawBufferPointer(copy)
        origin = .copied
    }

    deinit {
        if case .copied = origin { bytes.deallocate() }
    }

    /// Releases the whole pages within `range` of a mapped file.
    func release(_ range: Range<Int>) {
        if case .mapped(let file) = origin { file.release(range) }
    }

    /// The SHA-256 of all bytes, 64 lower-case hexadecimal digits.
    var sha256: String {
        let piece = 4 << 20
        var hasher = SHA256()
        for start in stride(from: 0, to: bytes.count, by: piece) {
            let range = start..<min(start + piece, bytes.count)
            hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[range]))
            release(range)
        }
        return hasher.finalize().hexadecimal
    }
}

extension SafeTensors {
    /// One more than the largest number that follows `prefix` in a tensor's name.
    ///
    /// If a layer in between is missing, reading it fails; it is not skipped.
    func count(_ prefix: String) -> Int {
        let numbers = names.lazy.filter { $0.hasPrefix(prefix) }.compactMap {
            Int($0.dropFirst(prefix.count).prefix { $0 != "." })
        }
        return (numbers.max() ?? -1) + 1
    }

    /// The shape of a tensor that must exist with `axes` axes.
    ///
    /// - Parameters:
    ///   - name: the name of the tensor.
    ///   - axes: the number of axes.
    /// - Returns: the shape.
    /// - Throws: `WeightFileError.missing` or `.tensor`.
    func shape(_ name: String, axes: Int) throws(WeightFileError) -> [Int] {
        guard let found = shape(of: name) else { throw .missing(name) }
        guard found.count == axes else {
            throw .tensor(name, reason: "it has \(found.count) axes, expected \(axes)")
        }
        return found
    }
}
