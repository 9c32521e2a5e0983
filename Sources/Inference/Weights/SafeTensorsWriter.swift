// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform

/// Writes a safetensors file from beginning to end and hashes it at the same time.
struct SafeTensorsWriter {
    /// The name, type and shape of one tensor.
    struct WrittenTensor {
        var name: String
        var type: SafeTensors.DataType
        var shape: [Int]

        /// The number of bytes of the tensor.
        var bytes: Int { shape.reduce(type.width, *) }
    }

    private let output: NewWeightFile
    private var hasher = SHA256()
    private var written = 0
    private let expected: Int

    /// The size of the whole file in bytes.
    let size: Int

    /// Writes the header.
    ///
    /// The bytes of the tensors follow through ``append(_:)``, in the order of `tensors`.
    init(_ output: NewWeightFile, _ tensors: [WrittenTensor], metadata: [String: String]) throws(WeightStoreError) {
        let header = Self.header(tensors, metadata)
        self.output = output
        expected = tensors.reduce(0) { $0 + $1.bytes }
        size = header.count + expected
        try output.write(header)
        hasher.update(data: header)
    }

    /// Writes the next bytes of the tensors.
    mutating func append(_ bytes: UnsafeRawBufferPointer) throws(WeightStoreError) {
        try output.write(bytes)
        hasher.update(bufferPointer: bytes)
        written += bytes.count
    }

    /// The SHA-256 of the file, 64 lower-case hexadecimal digits; all tensors have been appended.
    func finish() -> String {
        precondition(written == expected, "the tensors have the bytes that their header says")
        return hasher.finalize().hexadecimal
    }

    /// The header, padded with spaces so that the numbers begin at a multiple of 64 bytes.
    private static func header(_ tensors: [WrittenTensor], _ metadata: [String: String]) -> Data {
        var parts = [
            "\"__metadata__\":{"
                + metadata.sorted { $0.key < $1.key }.map { "\(json($0.key)):\(json($0.value))" }
                .joined(separator: ",") + "}"
        ]
        var offset = 0
        for tensor in tensors {
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            parts.append(
                "\(json(tensor.name)):{\"dtype\":\"\(tensor.type.rawValue)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(offset),\(offset + tensor.bytes)]}")
            offset += tensor.bytes
        }
        var text = Data("{\(parts.joined(separator: ","))}".utf8)
        text.append(contentsOf: [UInt8](repeating: 0x20, count: (64 - (8 + text.count) % 64) % 64))
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) } + text
    }

    private static func json(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case _ where scalar.value < 32: quoted += String(format: "\\u%04x", scalar.value)
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
