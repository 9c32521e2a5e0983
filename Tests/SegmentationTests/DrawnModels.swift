// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Inference
import Segmentation

/// Scaled-down networks of every family with random weights, installed in a temporary folder.
///
/// Their shapes come from the golden files of `training/references/golden_sam.py`.
enum DrawnModels {
    private struct Facts: Decodable {
        let size: Int
        let shapes: [String: [Int]]
    }

    /// The trunk of golden_sam2.py's scaled-down networks.
    private static let hiera = HieraArchitecture(
        width: 16, heads: 1, stages: [1, 2, 3, 2], globalBlocks: [4], windows: [8, 4, 14, 7])

    private static let folder = FileManager.default.temporaryDirectory
        .appending(path: "kontur-drawn-models-\(ProcessInfo.processInfo.processIdentifier)")

    private static let weights = Result {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return try [
            ("sam", ModelFamily.sam, "sam_vit"), ("medsam", .medsam, "sam_vit"), ("lite", .liteMedSAM, "sam_tiny_vit"),
            ("compact", .medsamCompact, "sam_convolutional"), ("sam2", .sam2, "sam2_1"),
            ("medsam2", .medsam2, "sam2_0"), ("tracker", .medsam2Compact, "sam2_1"),
        ]
        .map { name, family, shapes in try install(name, family, shapes: shapes) }
    }

    static func installed() throws -> [InstalledWeights] { try weights.get() }

    /// A tracker alone, whose weight file has the members of `facts` in its metadata.
    static func tracker(facts: String) throws -> [InstalledWeights] {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let name = "tracker-\(UInt(bitPattern: facts.hashValue))"
        return [try install(name, .medsam2Compact, shapes: "sam2_1", kontur: facts)]
    }

    static func file(_ family: ModelFamily) throws -> SafeTensors {
        let chosen = try installed().first { $0.family == family }
        return try SafeTensors(path: chosen?.path ?? "")
    }

    static func segmenter(_ name: String) throws -> any Segmenter {
        try Segmenters.make(Segmenters.choose(name, among: installed()))
    }

    private static func install(
        _ name: String, _ family: ModelFamily, shapes: String, kontur: String = "{}"
    ) throws -> InstalledWeights {
        let golden = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "InferenceTests/Golden/\(shapes).safetensors")
        let text = try SafeTensors(path: golden.path).metadata["kontur"] ?? ""
        let facts = try JSONDecoder().decode(Facts.self, from: Data(text.utf8))
        let path = folder.appending(path: "\(name).safetensors").path
        try checkpoint(facts, kontur).write(to: URL(filePath: path))
        let file = try SafeTensors(path: path)
        return InstalledWeights(
            name: name, family: family, architecture: "drawn", sha256: file.sha256, bytes: 1, parameters: 1,
            source: InstalledWeights.OriginalFile(file: "\(name).pth", sha256: file.sha256), licence: "drawn for tests",
            path: path)
    }

    /// Random weights: norm weights around 1, positive variances, and matrices that keep the scale
    /// of their inputs.
    private static func checkpoint(_ facts: Facts, _ kontur: String) -> Data {
        var random = Random(state: 1)
        let trunk = (try? JSONEncoder().encode(hiera)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        func quoted(_ text: String) -> String { "\"\(text.replacing("\"", with: "\\\""))\"" }
        let metadata =
            "\"inputSize\":\"\(facts.size)\",\"hiera\":\(quoted(trunk)),\"kontur\":\(quoted(kontur))"
        var (header, bytes) = (["\"__metadata__\":{\(metadata)}"], Data())
        for (name, shape) in facts.shapes.sorted(by: { $0.key < $1.key }) {
            let spread = 1.5 / Float(max(1, shape.dropFirst().reduce(1, *))).squareRoot()
            let start = bytes.count
            for _ in 0..<shape.reduce(1, *) {
                let value = random.next()
                let number: Float =
                    if name.hasSuffix("running_var") {
                        1 + 0.5 * value
                    } else if shape.count == 1 {
                        (name.hasSuffix("weight") ? 1 : 0) + 0.2 * value
                    } else {
                        spread * 1.7 * value
                    }
                withUnsafeBytes(of: number.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
            }
            header.append(
                "\"\(name)\":{\"dtype\":\"F32\",\"shape\":\(shape),\"data_offsets\":[\(start),\(bytes.count)]}")
        }
        let json = Data("{\(header.joined(separator: ","))}".utf8)
        return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) } + json + bytes
    }
}

/// Random numbers of -1...1 by splitmix64 (Steele 2014).
struct Random {
    var state: UInt64

    mutating func next() -> Float {
        state &+= 0x9e37_79b9_7f4a_7c15
        var x = state
        x = (x ^ x >> 30) &* 0xbf58_476d_1ce4_e5b9
        x = (x ^ x >> 27) &* 0x94d0_49bb_1331_11eb
        return Float((x ^ x >> 31) >> 40) / 8_388_608 - 1
    }
}
