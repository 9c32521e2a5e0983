// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Inference
import Segmentation
import Testing

/// Tests the rule of sam-auto.
///
/// InferenceTests cover the network and its masks.
@Suite struct SamAutoTests {
    /// The file that `training/references/golden_auto_features.py` writes.
    struct Golden: Decodable {
        struct Case: Decodable {
            let counts: [Int]
            let stability: Float
            let predictedIoU: Float
            let features: [Double]
        }

        let rows: Int
        let columns: Int
        let names: [String]
        let masks: [Case]

        init() throws {
            let folder = URL(filePath: #filePath).deletingLastPathComponent()
            let data = try Data(contentsOf: folder.appending(path: "Golden/auto-features.json"))
            self = try JSONDecoder().decode(Golden.self, from: data)
        }

        /// The picture that the script draws too.
        var image: ByteImage {
            let values = (0..<rows * columns * 3).map { place -> UInt8 in
                let (y, x, channel) = (place / 3 / columns, place / 3 % columns, place % 3)
                return UInt8((5 * x + 3 * y + 40 * channel + (x * x + y * y > 2500 ? 60 : 0)) % 256)
            }
            return ByteImage(rows: rows, columns: columns, channels: 3, values: values)
        }

        func mask(_ example: Case) -> AutomaticMask {
            SamAutoTests.mask(
                RunLengths(height: rows, width: columns, counts: example.counts), stability: example.stability,
                predictedIoU: example.predictedIoU)
        }
    }

    static func mask(_ runs: RunLengths, stability: Float = 0.97, predictedIoU: Float = 0.9) -> AutomaticMask {
        let set = runs.pixels.indices.filter { runs.pixels[$0] != 0 }
        let (xs, ys) = (set.map { $0 % runs.width }, set.map { $0 / runs.width })
        let box = PixelBox(x0: xs.min() ?? 0, y0: ys.min() ?? 0, x1: xs.max() ?? 0, y1: ys.max() ?? 0)
        return AutomaticMask(
            segmentation: runs, box: box, predictedIoU: predictedIoU, point: GridPoint(x: 0, y: 0),
            stabilityScore: stability, cropBox: PixelBox(x0: 0, y0: 0, x1: runs.width, y1: runs.height))
    }

    /// A disc in a picture of 60 x 80 pixels.
    static func disc(_ y: Int, _ x: Int, _ radius: Int) -> AutomaticMask {
        let pixels = (0..<60 * 80).map { place -> UInt8 in
            let (dy, dx) = (place / 80 - y, place % 80 - x)
            return dy * dy + dx * dx <= radius * radius ? 1 : 0
        }
        return mask(RunLengths(height: 60, width: 80, pixels: pixels))
    }

    /// A rule that prefers large masks.
    static func rule(threshold: Double = 0.5, weights: String = "") throws -> SamAutoRule {
        let zeros = Array(repeating: "0", count: SamAutoFeatures.names.count - 1).joined(separator: ",")
        let ones = Array(repeating: "1", count: SamAutoFeatures.names.count).joined(separator: ",")
        let names = SamAutoFeatures.names.map { "\"\($0)\"" }.joined(separator: ",")
        let json = """
            {"provenance": {"weights": "\(weights)", "fittedOn": "nothing", "frames": 2, "masks": 3, "heldOutAUC": 0.9,
              "heldOutFrames": 7},
             "features": [\(names)], "mean": [0,\(zeros)], "deviation": [\(ones)], "coefficients": [1,\(zeros)],
             "intercept": 4, "threshold": \(threshold)}
            """
        return try SamAutoRule(json: Data(json.utf8))
    }

    @Test func `features equal those on which rules are fitted`() throws {
        let golden = try Golden()
        #expect(golden.names == SamAutoFeatures.names)
        for example in golden.masks {
            let found = SamAutoFeatures(golden.mask(example), in: golden.image).values
            for (index, expected) in example.features.enumerated() {
                // Stability and predicted IoU have fp32 precision here.
                #expect(abs(found[index] - expected) < 1e-6, "\(golden.names[index])")
            }
        }
    }

    @Test func `disjoint masks are taken, the best first, without masks that overlap a better one`() throws {
        let image = try Golden().image
        let masks = [Self.disc(15, 15, 8), Self.disc(40, 55, 14), Self.disc(40, 45, 12), Self.disc(50, 10, 1)]
        let choices = try Self.rule().choose(among: masks, in: image)
        try #require(choices.map(\.index) == [1, 0])
        #expect(choices[0].estimate > choices[1].estimate)
    }

    @Test func `the answer is empty if every mask is below the threshold`() throws {
        let image = try Golden().image
        let masks = [Self.disc(15, 15, 8), Self.disc(40, 55, 14)]
        #expect(try Self.rule(threshold: 0.99).choose(among: masks, in: image).isEmpty)
        #expect(try Self.rule().choose(among: [], in: image).isEmpty)
    }

    @Test func `the built-in rule accepts and rejects masks, and its note says that it is not measured`() throws {
        let rule = SamAutoRule.builtIn
        #expect(rule.features == SamAutoFeatures.names)
        #expect(try SamAutoRule(json: JSONEncoder().encode(rule)) == rule)
        #expect(rule.note(weights: "0123").contains("not measured on these weights"))
        #expect(rule.note(weights: "").contains("not measured on these weights"))
        var estimates = [Double]()
        let image = try Golden().image
        for radius in [1, 3, 8, 14, 25, 90] {
            estimates.append(rule.estimate(SamAutoFeatures(Self.disc(30, 40, radius), in: image)))
        }
        #expect(estimates.allSatisfy { (0...1).contains($0) } && Set(estimates).count > 1)
    }

    @Test func `the note of a rule that fits the weights gives its quality`() throws {
        let rule = try Self.rule(weights: "0123")
        #expect(
            rule.note(weights: "0123")
                == "the rule that chose was fitted on these weights: AUC 0.9 on 7 held-out frames")
        #expect(rule.note(weights: "4567").contains("not measured on these weights"))
    }

    @Test func `a site's rule lies beside the weights, and a broken one is refused`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sam-auto-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let weights = folder.appending(path: "sam_vit_b-0123.safetensors").path
        #expect(try SamAutoRule.beside(weights: weights) == nil)
        let file = folder.appending(path: "sam_vit_b-0123.rule.json")
        let rule = try Self.rule(weights: "0123")
        try JSONEncoder().encode(rule).write(to: file)
        #expect(try SamAutoRule.beside(weights: weights) == rule)
        for broken in [
            "", "{}",
            String(decoding: try JSONEncoder().encode(rule), as: UTF8.self)
                .replacingOccurrences(of: "compactness", with: "beauty"),
        ] {
            try Data(broken.utf8).write(to: file)
            let error = #expect(throws: SamAutoRule.RuleError.self) { try SamAutoRule.beside(weights: weights) }
            #expect(error?.reason.hasPrefix("of sam_vit_b-0123.rule.json, ") == true)
        }
    }

    @Test func `the hash of a rule covers its whole content and ignores the file's layout`() throws {
        let rule = try Self.rule(weights: "0123")
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        #expect(try SamAutoRule(json: encoder.encode(rule)).sha256 == rule.sha256)
        let changes: [(inout SamAutoRule) -> Void] = [
            { $0.threshold += 1e-9 }, { $0.intercept = 3 }, { $0.mean[3] = 1 }, { $0.deviation[8] = 2 },
            { $0.coefficients[0] = -1 }, { $0.provenance.weights = "4567" }, { $0.provenance.heldOutAUC = 0.8 },
        ]
        let hashes = changes.map { change in
            var other = rule
            change(&other)
            return other.sha256
        }
        #expect(Set(hashes + [rule.sha256]).count == changes.count + 1)
    }

    @Test func `candidates are chosen with the truth, or by size`() {
        let masks = [Self.disc(15, 15, 8), Self.disc(40, 55, 14), Self.disc(40, 45, 12)]
        let truth = Mask(rows: 60, columns: 80, pixels: Self.disc(16, 15, 8).segmentation.pixels)
        let candidates = CandidateMasks(masks.map(\.segmentation))
        #expect(candidates.best(with: truth).pixels == masks[0].segmentation.pixels)
        #expect(candidates.largest(rows: 60, columns: 80).pixels == masks[1].segmentation.pixels)
        let nothing = Mask(rows: 60, columns: 80)
        #expect(candidates.best(with: nothing).isEmpty)
        #expect(
            CandidateMasks([]).best(with: truth).isEmpty && CandidateMasks([]).largest(rows: 60, columns: 80).isEmpty)
        // The first of equal masks is chosen.
        let left = RunLengths(height: 1, width: 4, pixels: [1, 0, 0, 0])
        let right = RunLengths(height: 1, width: 4, pixels: [0, 0, 0, 1])
        #expect(CandidateMasks([left, right]).largest(rows: 1, columns: 4).pixels == left.pixels)
        let both = Mask(rows: 1, columns: 4, pixels: [1, 0, 0, 1])
        #expect(CandidateMasks([right, left]).best(with: both).pixels == right.pixels)
    }

    @Test func `candidates of another size, or with runs that do not fill the frame, are refused`() throws {
        let json = try JSONEncoder().encode(
            CandidateMasks([RunLengths(height: 2, width: 3, pixels: [0, 1, 1, 0, 0, 0])]))
        #expect(CandidateMasks(json: json, rows: 2, columns: 3)?.masks.count == 1)
        #expect(CandidateMasks(json: json, rows: 3, columns: 2) == nil)
        for counts in ["[7]", "[-1,7]", "[9223372036854775807,2]"] {
            let bad = Data("{\"masks\":[{\"height\":2,\"width\":3,\"counts\":\(counts)}]}".utf8)
            #expect(CandidateMasks(json: bad, rows: 2, columns: 3) == nil)
        }
    }
}
