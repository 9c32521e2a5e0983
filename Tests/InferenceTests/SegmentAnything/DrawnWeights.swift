// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference

/// The weights of training/references/drawn_weights.py, bit for bit.
///
/// They are drawn from the names and shapes of the tensors alone, so that they do not need a file.
enum DrawnWeights {
    /// A checkpoint with all tensors drawn; `change` may replace the values of a tensor, or drop it with `nil`.
    static func checkpoint(
        _ shapes: [String: [Int]], change: (String, [Float]) -> [Float]? = { $1 }
    ) throws -> SafeTensors {
        try SafeTensors(file(shapes, change: change))
    }

    /// The bytes of the checkpoint's safetensors file.
    static func file(
        _ shapes: [String: [Int]], change: (String, [Float]) -> [Float]? = { $1 }
    ) throws -> Data {
        var header = [String: Entry]()
        var bytes = Data()
        for (name, shape) in shapes.sorted(by: { $0.key < $1.key }) {
            guard let values = change(name, tensor(name, shape)) else { continue }
            let start = bytes.count
            values.withUnsafeBytes { bytes.append(contentsOf: $0) }
            header[name] = Entry(dtype: "F32", shape: shape, data_offsets: [start, bytes.count])
        }
        let json = try JSONEncoder().encode(header)
        let length = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) }
        return length + json + bytes
    }

    // The names belong to the file format.
    private struct Entry: Encodable {
        let dtype: String
        let shape: [Int]
        let data_offsets: [Int]
    }

    static func tensor(_ name: String, _ shape: [Int]) -> [Float] {
        let count = shape.reduce(1, *)
        let last = name.split(separator: ".").last.map(String.init) ?? name
        switch last {
        case "running_var": return uniform(name, count, 0.5, 1.5)
        case "bias", "running_mean": return uniform(name, count, -0.2, 0.2)
        case "weight" where shape.count == 1: return uniform(name, count, 0.8, 1.2)
        case "pos_embed", "rel_pos_h", "rel_pos_w", "attention_biases": return normal(name, count, 0.3)
        default: return normal(name, count, 1.5 / Double(shape.dropFirst().reduce(1, *)).squareRoot())
        }
    }

    static func uniform(_ name: String, _ count: Int, _ low: Double, _ high: Double) -> [Float] {
        let scale = Float((high - low) / 16_777_216)
        return bits(name, count) { Float($0 >> 40) * scale + Float(low) }
    }

    static func normal(_ name: String, _ count: Int, _ deviation: Double) -> [Float] {
        let spread = (4 * (65536.0 * 65536 - 1) / 12).squareRoot()
        let scale = Float(deviation / spread)
        return bits(name, count) { x in
            let sum = Int(x & 0xffff) + Int(x >> 16 & 0xffff) + Int(x >> 32 & 0xffff) + Int(x >> 48)
            return Float(sum - 131_070) * scale
        }
    }

    /// splitmix64 (Steele 2014) from the FNV-1a hash of the name.
    static func bits(_ name: String, _ count: Int, _ number: (UInt64) -> Float) -> [Float] {
        var state = name.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return (0..<count).map { _ in
            state &+= 0x9e37_79b9_7f4a_7c15
            var x = state
            x = (x ^ x >> 30) &* 0xbf58_476d_1ce4_e5b9
            x = (x ^ x >> 27) &* 0x94d0_49bb_1331_11eb
            return number(x ^ x >> 31)
        }
    }
}
