// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Inference
import Segmentation
import Testing

extension SegmentationSuites {
    /// Tests sam-auto from frame to mask.
    ///
    /// The network is the scaled-down one of training/references/shapes_sam.py, which was trained
    /// on this kind of picture.
    @Suite struct SamAutoSegmenterTests {
        let folder: URL
        let weights: WeightFile
        let frame: Frame

        init() throws {
            let golden = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appending(path: "InferenceTests/Golden")
            folder = FileManager.default.temporaryDirectory.appending(path: "sam-auto-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let path = folder.appending(path: "shapes-0123.safetensors")
            try FileManager.default.copyItem(at: golden.appending(path: "shapes-sam.safetensors"), to: path)
            let file = try SafeTensors(path: path.path)
            let bytes = try Data(contentsOf: path).count
            weights = WeightFile(name: "shapes", path: path.path, sha256: file.sha256, bytes: bytes)
            let picture = try SafeTensors(path: golden.appending(path: "shapes-inputs.safetensors").path).tensor("0")
            frame = Frame(rows: picture.shape[0], columns: picture.shape[1], channels: 3, samples: picture.values)
        }

        private var installed: InstalledSegmenter {
            get throws {
                let source = InstalledWeights.OriginalFile(file: "shapes.pth", sha256: weights.sha256)
                return try Segmenters.choose(
                    "sam-auto",
                    among: [
                        InstalledWeights(
                            name: weights.name, family: .sam, architecture: "drawn", sha256: weights.sha256,
                            bytes: weights.bytes, parameters: 1, source: source, licence: "", path: weights.path)
                    ])
            }
        }

        private func segmenter() throws -> any Segmenter { try Segmenters.make(installed) }

        private func lay(_ rule: SamAutoRule) throws {
            try JSONEncoder().encode(rule).write(to: folder.appending(path: "shapes-0123.rule.json"))
        }

        private func cleanUp() { try? FileManager.default.removeItem(at: folder) }

        @Test func `a site's rule chooses disjoint masks, and a table of all masks can be written`() throws {
            defer { cleanUp() }
            try lay(SamAutoTests.rule(threshold: 0.1, weights: weights.sha256))
            let table = folder.appending(path: "masks.csv")
            setenv("KONTUR_SAM_AUTO_MASKS", table.path, 1)
            defer { unsetenv("KONTUR_SAM_AUTO_MASKS") }
            var steps = [[Int]]()
            let result = try segmenter().segment(.frames([frame])) { done, all in steps.append([done, all]) }
            #expect(steps == [[1, 1]])
            #expect(result.masks[0].area > 0)
            for (pixel, probability) in zip(result.masks[0].pixels, result.probabilities[0]) {
                #expect((pixel == 1) == (probability > 0))
            }
            let measures = result.frameConfidence[0].measures.keys.sorted()
            #expect(measures == ["estimatedDice", "predictedIoU", "stabilityScore"])
            #expect(result.notes.contains { $0.hasPrefix("the rule that chose was fitted on these weights") })
            let lines = try String(contentsOf: table, encoding: .utf8).split(separator: "\n")
            #expect(lines[0].split(separator: ",").count == 5 + SamAutoFeatures.names.count)
            #expect(lines.count > 10 && lines.dropFirst().allSatisfy { $0.hasPrefix("0,128,128,\(weights.sha256),") })
        }

        @Test func `without a good mask the answer is empty, and the note tells of other weights`() throws {
            defer { cleanUp() }
            try lay(SamAutoTests.rule(threshold: 1))
            let result = try segmenter().segment(.frames([frame])) { _, _ in }
            #expect(result.masks[0].isEmpty && result.probabilities[0].allSatisfy { $0 == 0 })
            #expect((0...1).contains(result.confidence.value))
            #expect(result.notes.contains { $0.contains("not measured on these weights") })
        }

        @Test func `every rule makes a version of its own, and a job is done with the rule it was made for`() throws {
            defer { cleanUp() }
            let builtIn = try installed.descriptor
            #expect(builtIn.version.hasPrefix("1.1.1+rule."))
            var versions = [builtIn.version]
            for threshold in [0.1, 0.2] {
                try lay(SamAutoTests.rule(threshold: threshold))
                versions.append(try installed.descriptor.version)
            }
            #expect(Set(versions).count == 3)
            let second = try installed
            #expect(try Segmenters.make(second).descriptor == second.descriptor)
            try lay(SamAutoTests.rule(threshold: 0.1))
            #expect(try installed.descriptor.version == versions[1])
            #expect { _ = try Segmenters.make(second) } throws: {
                "\($0)".contains("the rule changed after the job was made")
            }
            try Data("{}".utf8).write(to: folder.appending(path: "shapes-0123.rule.json"))
            for body in [{ _ = try installed }, { _ = try Segmenters.make(second) }] {
                #expect(throws: SegmentationError.self, performing: body)
                #expect { try body() } throws: {
                    "\($0)".hasPrefix("the rule of sam-auto cannot be used: of shapes-0123.rule.json, it does not")
                }
            }
        }

        @Test func `a dump holds all scores, and the logits of the masks that passed the filters`() throws {
            defer { cleanUp() }
            let dump = folder.appending(path: "dump")
            let trace = TraceFolder(folder: dump.path, candidates: folder.appending(path: "candidates").path)
            trace.firstIndex = 6
            _ = try segmenter().segment(.frames([frame]), options: .none, trace: trace) { _, _ in }
            #expect(try FileManager.default.contentsOfDirectory(atPath: dump.path) == ["0007.safetensors"])
            let file = try SafeTensors(path: dump.appending(path: "0007.safetensors").path)
            #expect(try file.tensor("crop_box").values == [0, 0, 128, 128])
            let points = try file.tensor("point_coords")
            #expect(points.shape == [1024, 2] && points.values.prefix(4) == [2, 2, 6, 2])
            let scores = try file.tensor("iou_predictions")
            let stability = try file.tensor("stability_scores")
            #expect(scores.shape == [1024, 3] && stability.shape == [1024, 3])
            let passed = try file.tensor("passed").values.map { Int($0) }
            try #require(passed.count > 20 && passed == passed.sorted())
            let network = try SegmentAnything(SafeTensors(path: weights.path), precision: .fp32)
            let logits = try file.tensor("low_res_logits")
            let size = network.lowResolutionSize
            #expect(logits.shape == [passed.count, size, size])
            // The masks with good scores, and no others.
            let good = scores.values.indices.filter { scores.values[$0] > 0.88 && stability.values[$0] >= 0.95 }
            #expect(good == passed)
            for (place, value) in scores.values.enumerated() where !(value > 0.88) {
                #expect(stability.values[place].isNaN)
            }
            // The first of them is computed again. The limit allows for bf16, in which the
            // segmenter may have computed.
            let embedding = try ImageEmbedding(values: file.tensor("image_embedding").channelsLast())
            let point = passed[0] / 3
            let (x, y) = SamTransform(height: 128, width: 128, inputSize: network.inputSize)
                .input(x: Double(points.values[2 * point]), y: Double(points.values[2 * point + 1]))
            let answer = try network.decode(
                embedding, [Prompt(points: [PromptPoint(x: x, y: y)])], multimask: true)[0]
            let first = passed[0] % 3 * size * size
            let (found, expected) = (logits.values, answer.logits.values)
            var (error, whole) = (Float(0), Float(0))
            for place in 0..<size * size {
                error += (found[place] - expected[first + place]) * (found[place] - expected[first + place])
                whole += expected[first + place] * expected[first + place]
            }
            #expect(error < 1e-3 * whole && whole > 0)
            let boxes = try file.tensor("boxes")
            #expect(boxes.shape == [passed.count, 4] && boxes.values.allSatisfy { (0..<128).contains($0) })
            let kept = try file.tensor("kept").values.map { Int($0) }
            try #require(kept.count > 10 && kept.count < passed.count)
            let order = kept.map { scores.values[passed[$0]] }
            #expect(order == order.sorted(by: >))
            let json = try Data(contentsOf: folder.appending(path: "candidates/0007.json"))
            let candidates = try #require(CandidateMasks(json: json, rows: 128, columns: 128))
            #expect(candidates.masks.count == kept.count)
            for (mask, place) in zip(candidates.masks, kept) {
                let columns = mask.pixels.indices.filter { mask.pixels[$0] == 1 }.map { Float($0 % 128) }
                #expect(columns.min() == boxes.values[4 * place] && columns.max() == boxes.values[4 * place + 2])
            }
        }

        @Test func `a dump of an image without masks holds its scores`() throws {
            defer { cleanUp() }
            let dump = folder.appending(path: "dump")
            let blank = Frame(rows: 1, columns: 40, channels: 1, samples: [Float](repeating: 7, count: 40))
            _ = try segmenter().segment(.frames([blank]), options: .none, trace: TraceFolder(folder: dump.path)) {
                _, _ in
            }
            let file = try SafeTensors(path: dump.appending(path: "0001.safetensors").path)
            #expect(try file.tensor("iou_predictions").shape == [1024, 3])
            #expect(try file.tensor("crop_box").values == [0, 0, 40, 1])
        }

        @Test func `prompts and volumes are refused`() throws {
            defer { cleanUp() }
            let segmenter = try segmenter()
            for options in [
                SegmenterOptions(box: Box(x0: 1, y0: 1, x1: 9, y1: 9)),
                SegmenterOptions(points: [LabeledPoint(x: 1, y: 1, isForeground: true)]),
            ] {
                #expect(throws: SegmentationError.self) {
                    try segmenter.segment(.frames([frame]), options: options, trace: nil) { _, _ in }
                }
            }
            #expect(throws: SegmentationError.self) { try segmenter.segment(.frames([])) { _, _ in } }
        }
    }
}
