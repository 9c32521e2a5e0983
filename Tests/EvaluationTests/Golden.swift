// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// Numbers that `make_golden.py` wrote with numpy, SciPy, pysodmetrics and medpy.
enum Golden {
    struct Scores: Decodable {
        struct Frame: Decodable, Sendable, CustomTestStringConvertible {
            let name: String
            let rows: Int
            let columns: Int
            let map: String
            let truth: String
            let scores: [String: Double]
            var testDescription: String { name }
        }

        struct Volume: Decodable, Sendable, CustomTestStringConvertible {
            let name: String
            let shape: [Int]
            let spacing: [Double]
            let truth: String
            let answer: String
            let hausdorff95: Double
            let average: Double
            let symmetricAverage: Double
            var testDescription: String { name }
        }

        let frames: [Frame]
        let volumes: [Volume]
    }

    struct Statistics: Decodable {
        let a: [Double]
        let b: [Double]
        let spearman: Double
        let auroc: Double
        let wilcoxon: Double
        let quantiles: [Double]
    }

    static let scores: Scores = read("scores")
    static let statistics: Statistics = read("statistics")

    private static func read<Value: Decodable>(_ name: String) -> Value {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/\(name).json")
        do {
            return try JSONDecoder().decode(Value.self, from: Data(contentsOf: file))
        } catch {
            preconditionFailure("Golden/\(name).json cannot be read, run make_golden.py: \(error)")
        }
    }

    /// The bytes of a text with two hexadecimal digits per byte.
    static func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.utf8.map { $0 < 58 ? $0 - 48 : $0 - 87 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    /// Bits that numpy packed, the highest first.
    static func bits(_ hex: String, count: Int) -> [UInt8] {
        Array(bytes(hex).flatMap { byte in (0..<8).map { byte >> (7 - $0) & 1 } }.prefix(count))
    }
}
