// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Testing

@Suite struct SafeTensorsTests {
    /// A file with this header and these bytes of tensors.
    static func file(_ header: String, _ body: [UInt8]) -> Data {
        var data = Data()
        withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { data.append(contentsOf: $0) }
        return data + Data(header.utf8) + Data(body)
    }

    static let plain =
        #"{"__metadata__":{"a":"b"},"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"#
        + #""y":{"dtype":"F32","shape":[1,1],"data_offsets":[4,8]},"z":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}"#
    // x = [1, -2^-24], y = [[2]], z = 3
    static let body: [UInt8] = [0x00, 0x3c, 0x01, 0x80, 0, 0, 0, 0x40, 0x40, 0x40]

    @Test func `reads the three number formats, shapes and metadata`() throws {
        let file = try SafeTensors(Self.file(Self.plain, Self.body))
        #expect(file.metadata == ["a": "b"])
        #expect(file.names == ["x", "y", "z"])
        #expect(try file.tensor("x") == Tensor(shape: [2], values: [1, -0x1p-24]))
        #expect(try file.tensor("y", shape: [1, 1]) == Tensor(shape: [1, 1], values: [2]))
        #expect(try file.tensor("z").values == [3])
    }

    @Test func `every half precision number is converted exactly`() throws {
        let bytes = (0...UInt16.max).flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }
        let header = #"{"h":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}}"#
        let values = try SafeTensors(Self.file(header, bytes)).tensor("h").values
        for bits in 0...UInt16.max {
            let (exponent, fraction) = (Int(bits >> 10 & 31), Double(bits & 1023))
            let found = values[Int(bits)]
            if exponent == 31 {
                #expect(fraction == 0 ? found.isInfinite : found.isNaN)
            } else {
                let whole = Double(sign: .plus, exponent: exponent - 15, significand: 1 + fraction / 1024)
                let size = exponent == 0 ? fraction * 0x1p-24 : whole
                #expect(Double(found) == (bits & 0x8000 == 0 ? size : -size))
            }
        }
    }

    @Test func `says what is missing or has another shape`() throws {
        let file = try SafeTensors(Self.file(Self.plain, Self.body))
        #expect(throws: WeightFileError.missing("w")) { try file.tensor("w") }
        #expect(throws: WeightFileError.shape("x", expected: [4], found: [2])) { try file.tensor("x", shape: [4]) }
        #expect("\(WeightFileError.shape("x", expected: [4], found: [2]))" == "tensor x has shape [2], expected [4]")
    }

    static func one(_ entry: String) -> String { #"{"x":{\#(entry)}}"# }

    @Test(arguments: [
        "", "{", "[]", "null", #"{"x":1}"#, #"{"__metadata__":{"a":1}}"#,
        one(#""dtype":"F32","shape":[1]"#),
        one(#""dtype":"F32","shape":[1],"data_offsets":[0]"#),
        one(#""dtype":"F32","shape":[1],"data_offsets":[0,4,8]"#),
        one(#""dtype":"I64","shape":[1],"data_offsets":[0,8]"#),
        one(#""dtype":"F32","shape":[-1],"data_offsets":[0,4]"#),
        one(#""dtype":"F32","shape":[0],"data_offsets":[0,0]"#),
        one(#""dtype":"F32","shape":[1.5],"data_offsets":[0,6]"#),
        one(#""dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]"#),
        one(#""dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]"#),
        one(#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#),
        one(#""dtype":"F32","shape":[1],"data_offsets":[4,0]"#),
        one(#""dtype":"F32","shape":[1],"data_offsets":[-4,0]"#),
        one(#""dtype":"F32","shape":[1],"data_offsets":[12,16]"#),
        one(#""dtype":"F32","shape":[1],"data_offsets":[2,6]"#),
        one(#""dtype":"F32","shape":[1],"data_offsets":[0,4]"#),
        #"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
        String(repeating: "[", count: 100_000),
        #"{"x":"# + String(repeating: #"{"x":"#, count: 50_000),
    ])
    func `a hostile header is refused`(header: String) {
        #expect(throws: WeightFileError.self) { try SafeTensors(Self.file(header, [UInt8](repeating: 0, count: 8))) }
    }

    @Test func `tensors that share bytes are named`() {
        let header =
            #"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
        #expect(throws: WeightFileError.shared("y", with: "x")) {
            try SafeTensors(Self.file(header, [UInt8](repeating: 0, count: 8)))
        }
        #expect("\(WeightFileError.shared("y", with: "x"))".hasPrefix("tensors 'x' and 'y' share bytes of the file"))
    }

    @Test(arguments: [UInt64.max, UInt64(Int64.max), 1 << 32, SafeTensors.largestHeader + 1, 1000])
    func `a header longer than the file or the limit is refused`(length: UInt64) {
        var data = Data()
        withUnsafeBytes(of: length.littleEndian) { data.append(contentsOf: $0) }
        data.append(Data(repeating: 0x20, count: 100))
        #expect(throws: WeightFileError.headerLength(length, file: 108)) { try SafeTensors(data) }
    }

    @Test func `every truncation is refused, and no changed byte crashes`() throws {
        let whole = Self.file(Self.plain, Self.body)
        for count in 0..<whole.count {
            #expect(throws: WeightFileError.self, "\(count) bytes") { try SafeTensors(whole.prefix(count)) }
        }
        for index in whole.indices {
            for bit in 0..<8 {
                var changed = whole
                changed[index] ^= 1 << bit
                if let file = try? SafeTensors(changed) { for name in file.names { _ = try file.tensor(name) } }
            }
        }
    }

    @Test func `a slice of a larger buffer is read from its own beginning`() throws {
        let padded = Data([1, 2, 3]) + Self.file(Self.plain, Self.body)
        #expect(try SafeTensors(padded.dropFirst(3)).tensor("y").values == [2])
    }

    @Test func `a missing file is named`() {
        #expect { try SafeTensors(path: "/nowhere/x.safetensors") } throws: { error in
            "\(error)".hasPrefix("could not read /nowhere/x.safetensors")
        }
    }

    @Test func `the hash covers all bytes`() throws {
        // printf '\\2\\0\\0\\0\\0\\0\\0\\0{}' | sha256sum
        #expect(
            try SafeTensors(Self.file("{}", [])).sha256
                == "411a485216e432ece6b9af94fa32154cf79a2a56d4f81266baa50063f45092bd")
    }
}
