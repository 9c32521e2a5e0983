// SPDX-License-Identifier: Apache-2.0
//
// The safetensors file format (huggingface/safetensors, README.md, "Format"): 8 bytes little-endian header length N, N
// bytes of JSON, then the tensors' bytes. Read here: F32, F16 and BF16, whole files only. As the reference does, files
// with overlapping tensors or with bytes that belong to none are refused.

public import Foundation

/// Why a weight file cannot be read.
public enum WeightFileError: Error, Sendable, Hashable, CustomStringConvertible {
    case unreadable(path: String, reason: String)
    case tooShort(bytes: Int)
    /// The header's length is beyond the file or `SafeTensors.largestHeader`.
    case headerLength(UInt64, file: Int)
    case header(reason: String)
    case tensor(String, reason: String)
    /// Bytes outside all tensors, or in two of them.
    case layout(reason: String)
    case missing(String)
    case shape(String, expected: [Int], found: [Int])

    public var description: String {
        switch self {
        case .unreadable(let path, let reason): "could not read \(path): \(reason)"
        case .tooShort(let bytes): "a safetensors file has at least 8 bytes, this one has \(bytes)"
        case .headerLength(let length, let file): "the header is said to have \(length) bytes in a file of \(file)"
        case .header(let reason): "the header is not valid: \(reason)"
        case .tensor(let name, let reason): "tensor \(name): \(reason)"
        case .layout(let reason): "the tensors do not tile the file: \(reason)"
        case .missing(let name): "there is no tensor \(name)"
        case .shape(let name, let expected, let found): "tensor \(name) has shape \(found), expected \(expected)"
        }
    }
}

/// A weight file, checked when it is opened; tensors are converted when they are asked for.
public struct SafeTensors: Sendable {
    /// Headers longer than this are refused: 8 MiB, a hundred times that of a ViT-H.
    public static let largestHeader: UInt64 = 8 << 20

    /// Number formats that are read, by their names in the file.
    public enum DataType: String, Sendable, Hashable, Codable {
        case f32 = "F32"
        case f16 = "F16"
        case bf16 = "BF16"

        /// Bytes a number.
        public var width: Int { self == .f32 ? 4 : 2 }
    }

    private struct Entry: Sendable {
        let type: DataType
        let shape: [Int]
        let range: Range<Int>
    }

    private let file: WeightBytes
    private let entries: [String: Entry]
    /// The file's `__metadata__`.
    public let metadata: [String: String]

    /// Opens a file without copying it: the bytes are mapped, and let go when they have been read.
    ///
    /// - Throws: `WeightFileError`.
    public init(path: String) throws(WeightFileError) { try self.init(WeightBytes(path: path)) }

    /// Reads a file from bytes that outlive this value, such as those embedded in the executable.
    ///
    /// - Throws: `WeightFileError`.
    public init(embedded bytes: UnsafeRawPointer, count: Int) throws(WeightFileError) {
        try self.init(WeightBytes(embedded: UnsafeRawBufferPointer(start: bytes, count: count)))
    }

    /// Copies `data`.
    ///
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
        var entries = [String: Entry]()
        for (name, tensor) in header.tensors {
            guard let type = DataType(rawValue: tensor.typeName) else {
                throw .tensor(name, reason: "numbers of type \(tensor.typeName) are not read")
            }
            let range = tensor.range.lowerBound + start..<tensor.range.upperBound + start
            entries[name] = Entry(type: type, shape: tensor.shape, range: range)
        }
        self.entries = entries
        self.file = file
    }

    public var names: [String] { entries.keys.sorted() }

    public func shape(of name: String) -> [Int]? { entries[name]?.shape }

    /// SHA-256 of the whole file, 64 lower-case hexadecimal digits.
    public var sha256: String { file.sha256 }

    /// How the numbers of the tensor called `name` are stored.
    public func dataType(of name: String) -> DataType? { entries[name]?.type }

    /// Calls `body` with the stored bytes of a tensor, little-endian, row-major, without a copy.
    ///
    /// The bytes are valid during the call only; a mapped file is read from disk as they are touched.
    ///
    /// - Parameter shape: what the caller expects, `nil` for any.
    /// - Throws: `WeightFileError.missing` or `.shape`, and what `body` throws.
    public func withBytes<Result>(
        _ name: String, shape: [Int]? = nil, _ body: (DataType, UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        let entry = try entry(name, shape: shape)
        defer { file.release(entry.range) }
        return try body(entry.type, UnsafeRawBufferPointer(rebasing: file.bytes[entry.range]))
    }

    /// The tensor called `name`, converted to fp32.
    ///
    /// - Parameter shape: what the caller expects, `nil` for any.
    /// - Throws: `WeightFileError.missing` or `.shape`.
    public func tensor(_ name: String, shape: [Int]? = nil) throws(WeightFileError) -> Tensor {
        let entry = try entry(name, shape: shape)
        defer { file.release(entry.range) }
        let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[entry.range])
        return Tensor(shape: entry.shape.isEmpty ? [1] : entry.shape) { entry.type.convert(bytes, to: $0) }
    }

    private func entry(_ name: String, shape: [Int]?) throws(WeightFileError) -> Entry {
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
    ///   - output: room for as many numbers.
    public func convert(_ bytes: UnsafeRawBufferPointer, to output: UnsafeMutablePointer<Float>) {
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

/// IEEE 754 half precision to single, exactly and without a branch.
///
/// Exponent and fraction moved to their places in a single are the number divided by 2^112, subnormal ones included.
@inline(__always)
private func float(half bits: UInt16) -> Float {
    let magnitude = UInt32(bits & 0x7fff) << 13
    let scaled = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
    let special: UInt32 = magnitude >= 0x1f << 23 ? 0x7f80_0000 : 0
    return Float(bitPattern: scaled | special | UInt32(bits & 0x8000) << 16)
}
