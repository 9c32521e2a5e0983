// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation

/// Writes a safetensors file from beginning to end, and hashes it on the way.
struct SafeTensorsWriter {
    struct Tensor {
        var name: String
        var type: SafeTensors.DataType
        var shape: [Int]

        var bytes: Int { shape.reduce(type.width, *) }
    }

    private let output: NewFile
    private var hasher = SHA256()
    private var written = 0
    private let expected: Int

    /// Size of the whole file.
    let size: Int

    /// Writes the header. The tensors' bytes follow by ``append(_:)``, in the order of `tensors`.
    init(_ output: NewFile, _ tensors: [Tensor], metadata: [String: String]) throws(WeightStoreError) {
        let header = Self.header(tensors, metadata)
        self.output = output
        expected = tensors.reduce(0) { $0 + $1.bytes }
        size = header.count + expected
        try header.withUnsafeBytesThrowing { bytes throws(WeightStoreError) in try output.write(bytes) }
        hasher.update(data: header)
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) throws(WeightStoreError) {
        try output.write(bytes)
        hasher.update(bufferPointer: bytes)
        written += bytes.count
    }

    /// The file's SHA-256, 64 lower-case hexadecimal digits.
    func finish() -> String {
        precondition(written == expected, "the tensors have the bytes that their header says")
        return hasher.finalize().hexadecimal
    }

    /// Padded with spaces, so that the numbers begin at a multiple of 64 bytes.
    private static func header(_ tensors: [Tensor], _ metadata: [String: String]) -> Data {
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
