// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The JSON header of a safetensors file: tensors by name, and `__metadata__`.
///
/// The initialiser checks that shapes fit their bytes and that the tensors fill the rest of the
/// file.
struct SafeTensorsHeader {
    /// The description of one tensor.
    struct DescribedTensor {
        let type: NumberType
        /// The name of the type in the file, such as `F32`.
        let typeName: String
        let shape: [Int]
        /// The bytes of the tensor, counted from the end of the header.
        let range: Range<Int>
    }

    /// The file's `__metadata__`.
    let metadata: [String: String]
    /// The tensors by name.
    let tensors: [String: DescribedTensor]

    /// Reads and checks a header.
    ///
    /// - Parameters:
    ///   - json: the JSON of the header.
    ///   - bytes: the number of bytes that follow the header.
    /// - Throws: `WeightFileError`.
    init(json: Data, bytes: Int) throws(WeightFileError) {
        let header: HeaderJSON
        do {
            header = try JSONDecoder().decode(HeaderJSON.self, from: json)
        } catch {
            throw .header(reason: "its JSON does not describe tensors")
        }
        var tensors: [String: DescribedTensor] = [:]
        for (name, raw) in header.entries { tensors[name] = try Self.check(raw, name, bytes: bytes) }
        try Self.checkTiling(tensors, bytes: bytes)
        metadata = header.metadata
        self.tensors = tensors
    }

    /// The tensors of a safetensors file as those of a checkpoint.
    ///
    /// - Parameter file: the safetensors file.
    /// - Returns: the tensors in any order, and the file's `__metadata__`.
    /// - Throws: `CheckpointError`.
    static func tensors(
        of file: CheckpointFile
    ) throws(CheckpointError) -> (tensors: [CheckpointTensor], metadata: [String: String]) {
        guard let length = LittleEndian(try file.bytes(at: 0, count: 8)).integer(at: 0, width: 8),
            length <= SafeTensors.largestHeader, Int(length) <= file.size - 8
        else {
            throw .format(
                reason: "the file is not a safetensors file, or it is truncated: its header is longer than the file")
        }
        let start = 8 + Int(length)
        let json = Data(try file.bytes(at: 8, count: Int(length)))
        let header: SafeTensorsHeader
        do throws(WeightFileError) {
            header = try SafeTensorsHeader(json: json, bytes: file.size - start)
        } catch {
            throw .format(reason: "the file is not a valid safetensors file: \(error)")
        }
        let tensors = header.tensors.map { name, tensor in
            CheckpointTensor(
                name: name, type: tensor.type, shape: tensor.shape, strides: rowMajor(tensor.shape),
                offset: start + tensor.range.lowerBound)
        }
        return (tensors, header.metadata)
    }

    private static func rowMajor(_ shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
        return strides
    }

    private static func check(_ raw: HeaderJSON.RawTensor, _ name: String, bytes: Int) throws(WeightFileError)
        -> DescribedTensor
    {
        guard let type = NumberType(safetensors: raw.dtype) else {
            throw .tensor(name, reason: "numbers of type \(raw.dtype.quoted) are not supported")
        }
        guard raw.shape.allSatisfy({ $0 > 0 }), raw.shape.count <= 8 else {
            throw .tensor(name, reason: "its shape is empty or has more than 8 axes")
        }
        var size = type.width
        for extent in raw.shape {
            let (product, overflow) = size.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw .tensor(name, reason: "its shape is too large") }
            size = product
        }
        guard raw.offsets.count == 2, raw.offsets[0] >= 0, raw.offsets[0] <= raw.offsets[1], raw.offsets[1] <= bytes
        else { throw .tensor(name, reason: "it reaches beyond the end of the file, which may be truncated") }
        guard raw.offsets[1] - raw.offsets[0] == size else {
            throw .tensor(name, reason: "its shape needs \(size) bytes, but it has \(raw.offsets[1] - raw.offsets[0])")
        }
        return DescribedTensor(
            type: type, typeName: raw.dtype, shape: raw.shape, range: raw.offsets[0]..<raw.offsets[1])
    }

    private static func checkTiling(_ tensors: [String: DescribedTensor], bytes: Int) throws(WeightFileError) {
        var end = 0
        var before = ""
        let ordered = tensors.sorted { ($0.value.range.lowerBound, $0.key) < ($1.value.range.lowerBound, $1.key) }
        for (name, tensor) in ordered {
            guard tensor.range.lowerBound >= end else { throw .shared(name, with: before) }
            guard tensor.range.lowerBound == end else {
                throw .layout(reason: "\(name.quoted) follows a gap at byte \(tensor.range.lowerBound)")
            }
            (end, before) = (tensor.range.upperBound, name)
        }
        guard end == bytes else {
            throw .layout(reason: "\(bytes - end) bytes at the end do not belong to a tensor")
        }
    }
}

private struct HeaderJSON: Decodable {
    struct RawTensor: Decodable {
        let dtype: String
        let shape: [Int]
        let offsets: [Int]

        enum CodingKeys: String, CodingKey {
            case dtype, shape
            case offsets = "data_offsets"
        }
    }

    struct TensorName: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    var metadata: [String: String] = [:]
    var entries: [String: RawTensor] = [:]

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: TensorName.self)
        for key in container.allKeys {
            if key.stringValue == "__metadata__" {
                metadata = try container.decode([String: String].self, forKey: key)
            } else {
                entries[key.stringValue] = try container.decode(RawTensor.self, forKey: key)
            }
        }
    }
}
