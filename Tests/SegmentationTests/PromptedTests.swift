// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Inference
import Segmentation
import Testing

extension SegmentationSuites {
    /// Segmenters of the SAM family with a person's prompts, on scaled-down networks with random
    /// weights.
    @Suite struct PromptedTests {
        private final class Trace: SegmentationTrace {
            var frames = [TracedFrame]()
            func record(_ frame: TracedFrame) { frames.append(frame) }
        }

        static let onFrames = ["sam-box", "medsam-box", "lite-medsam-box", "medsam-compact-box"]
        static let onVolumes = ["medsam-slices", "lite-medsam-slices", "medsam-compact-slices"]
        // Its edge is bright, so the frame is its own endoscopic field.
        private let frame = Inputs.frame(70, 99) {
            60 + Inputs.pattern($0 + $1).truncatingRemainder(dividingBy: 190)
        }
        private let box = Box(x0: 20, y0: 15, x1: 71, y1: 52)

        private func segment(
            _ name: String, _ input: SegmenterInput, _ options: SegmenterOptions, trace: Trace? = nil
        ) throws -> SegmenterResult {
            try DrawnModels.segmenter(name).segment(input, options: options, trace: trace) { _, _ in }
        }

        @Test(arguments: onFrames) func `a box is answered with measures, and traced as PyTorch has it`(
            name: String
        ) throws {
            let trace = Trace()
            let result = try segment(name, .frames([frame, frame]), SegmenterOptions(box: box), trace: trace)
            let names: Set<String> = ["stabilityScore", "jitterAgreement"]
            for confidence in result.frameConfidence {
                #expect(Set(confidence.measures.keys) == names.union(name == "medsam-box" ? [] : ["predictedIoU"]))
                #expect(confidence.measures.values.allSatisfy { (0...1).contains($0) })
            }
            #expect(result.masks[0] == result.masks[1])
            let traced = try #require(trace.frames.last)
            let size = name == "lite-medsam-box" || name == "medsam-compact-box" ? 64 : 256
            let grid = name == "medsam-compact-box" ? 8 : 16
            #expect(trace.frames.map(\.index) == [0, 1] && traced.input.shape == [1, 3, size, size])
            #expect(traced.embedding.shape == [1, 256, grid, grid])
            #expect(traced.logits?.shape == [1, 1, 4 * grid, 4 * grid] && traced.predictedIoU?.shape == [1, 1])
            #expect(traced.tensors.map(\.name) == ["image_embedding", "input", "iou_predictions", "low_res_logits"])
        }

        @Test func `a lone point is answered with the best of three masks`() throws {
            let trace = Trace()
            let point = LabeledPoint(x: 44, y: 30, isForeground: true)
            let result = try segment("sam-point", .frames([frame]), SegmenterOptions(points: [point]), trace: trace)
            #expect(trace.frames[0].logits?.shape == [1, 3, 64, 64])
            let predictor = try SamPredictor(DrawnModels.file(.sam), family: .sam, precision: Compute.precision())
            let masks = try predictor.predict(predictor.embed(frame), points: [point], multimask: true)
            let best = try #require(masks.max { $0.predictedIoU < $1.predictedIoU })
            #expect(result.masks[0] == best.mask && result.probabilities[0] == best.probabilities)

            let several = Trace()
            let points = [point, LabeledPoint(x: 3, y: 3, isForeground: false)]
            _ = try segment("sam-point", .frames([frame]), SegmenterOptions(points: points), trace: several)
            #expect(several.frames[0].logits?.shape == [1, 1, 64, 64])
        }

        @Test func `medsam-compact answers points alone, and its boxes are also drawn as mask prompts`() throws {
            let points = [30, 50].map { LabeledPoint(x: $0, y: 30, isForeground: true) }
            let trace = Trace()
            for given in [[points[0]], points] {
                let result = try segment(
                    "medsam-compact-box", .frames([frame]), SegmenterOptions(points: given), trace: trace)
                #expect(result.masks.count == 1 && result.frameConfidence[0].measures["predictedIoU"] != nil)
            }
            #expect(trace.frames.map { $0.logits?.shape } == [[1, 3, 32, 32], [1, 1, 32, 32]])

            let file = try DrawnModels.file(.medsamCompact)
            let predictor = try SamPredictor(file, family: .medsamCompact, precision: Compute.precision())
            let embedded = try predictor.embed(frame)
            let answer = try predictor.predict(embedded, box: box, multimask: false)[0]
            let grid = InputGrid(rows: frame.rows, columns: frame.columns, family: .medsamCompact, size: 64)
            let drawn = Tensor(shape: [32, 32], values: DrawnBox.mask(grid.input(box), size: 32).values)
            #expect(try predictor.predict(embedded, box: box, mask: drawn, multimask: false)[0].logits == answer.logits)
            let blank = Tensor(shape: [32, 32], values: [Float](repeating: 0, count: 1024))
            #expect(try predictor.predict(embedded, box: box, mask: blank, multimask: false)[0].logits != answer.logits)
        }

        @Test func `a kept embedding answers later prompts as a new one does`() throws {
            let predictor = try SamPredictor(DrawnModels.file(.sam), family: .sam, precision: Compute.precision())
            let kept = try predictor.embed(frame)
            let first = try predictor.predict(kept, box: box, multimask: false)[0]
            _ = try predictor.embed(Inputs.frame(30, 20) { Inputs.pattern($0 * 3 + $1) })
            let refined = try predictor.predict(kept, box: box, mask: first.logits, multimask: false)[0]
            let again = try predictor.predict(kept, box: box, multimask: false)[0]
            #expect(again.mask == first.mask && again.logits == first.logits)
            #expect(refined.logits != first.logits)
            let result = try segment("sam-box", .frames([frame]), SegmenterOptions(box: box))
            #expect(result.masks[0] == first.mask)
        }

        @Test(arguments: onFrames + onVolumes) func `impossible boxes are refused with the reason`(
            name: String
        ) throws {
            let segmenter = try DrawnModels.segmenter(name)
            let input = Inputs.make(for: segmenter.descriptor.accepts, Inputs.pattern)
            for (box, reason) in [
                (Box(x0: 500, y0: 3, x1: 510, y1: 9), "outside the image"),
                (Box(x0: 9, y0: 3, x1: 2, y1: 9), "inverted"),
                (Box(x0: 9, y0: 3, x1: 9, y1: 9), "empty"), (Box(x0: .nan, y0: 3, x1: 9, y1: 9), "not numbers"),
            ] {
                #expect {
                    _ = try segmenter.segment(input, options: SegmenterOptions(box: box), trace: nil) { _, _ in }
                } throws: { "\($0)".contains(reason) && "\($0)".contains(name) }
            }
        }

        @Test func `points outside the image, and points for networks that take boxes only, are refused`() throws {
            let outside = SegmenterOptions(points: [LabeledPoint(x: 99, y: 3, isForeground: true)])
            #expect { _ = try segment("sam-point", .frames([frame]), outside) } throws: {
                "\($0)".contains("outside the image, which has 99 x 70 pixels")
            }
            let inside = SegmenterOptions(points: [LabeledPoint(x: 9, y: 3, isForeground: true)])
            #expect { _ = try segment("medsam-box", .frames([frame]), inside) } throws: {
                "\($0)".contains("trained with boxes only")
            }
            #expect { _ = try segment("sam-box", .frames([frame]), inside) } throws: { "\($0)".contains("sam-point") }
            #expect { _ = try segment("sam-point", .frames([frame]), SegmenterOptions(box: box)) } throws: {
                "\($0)".contains("choose sam-box")
            }
            #expect { _ = try segment("polyp-compact", .frames([frame]), inside) } throws: {
                "\($0)".contains("it takes no options")
            }
        }

        @Test func `a box as large as the image, or beyond it, is answered with a note`() throws {
            let whole = SegmenterOptions(box: Box(x0: -4, y0: 0, x1: 99, y1: 69))
            let notes = try segment("medsam-box", .frames([frame]), whole).notes
            #expect(notes.contains("1 box is about as large as the image: MedSAM fails there"))
            #expect(notes.contains("the box was cut off at the edges of 1 image"))
        }

        @Test(arguments: onVolumes) func `a box is walked from its slice, step by step`(name: String) throws {
            let volume = Inputs.volume(7, 31, 37, Inputs.pattern)
            let trace = Trace()
            var steps = [[Int]]()
            let result = try DrawnModels.segmenter(name).segment(
                .volume(volume), options: SegmenterOptions(box: Box(x0: 5, y0: 4, x1: 30, y1: 25), keySlice: 2),
                trace: trace
            ) { steps.append([$0, $1]) }
            #expect(steps == (1...7).map { [$0, 7] })
            #expect(Array(trace.frames.map(\.index).prefix(2)) == [1, 2] && result.masks.count == 7)
            #expect(result.notes.contains { $0.hasPrefix("the box of slice 2 was walked") })
            #expect {
                _ = try segment(name, .volume(volume), SegmenterOptions(keySlice: 8))
            } throws: { "\($0)".contains("the volume has 7 slices") }
        }

        @Test func `margin, shift and key slice decide the network's prompts`() throws {
            let volume = Inputs.volume(5, 31, 37, Inputs.pattern)
            let box = Box(x0: 5, y0: 4, x1: 30, y1: 25)
            func logits(_ options: SegmenterOptions) throws -> [Int: [Float]] {
                let trace = Trace()
                _ = try segment("medsam-slices", .volume(volume), options, trace: trace)
                return Dictionary(uniqueKeysWithValues: trace.frames.map { ($0.index, $0.logits?.values ?? []) })
            }
            let plain = try logits(SegmenterOptions(box: box))
            #expect(try logits(SegmenterOptions(box: box, keySlice: 3)) == plain)
            let firm = try segment("medsam-slices", .volume(volume), SegmenterOptions(box: box, shift: 0))
            #expect(firm.confidence.measures["jitterAgreement"] == nil)
            let wide = try logits(SegmenterOptions(box: box, margin: 40))
            // The margin widens boxes made from masks, and does not change a person's box.
            #expect(wide[2] == plain[2])
        }

        @Test func `memory does not grow from slice to slice`() throws {
            let volume = Inputs.volume(88, 40, 40, Inputs.pattern)
            let segmenter = try DrawnModels.segmenter("medsam-slices")
            var early = 0
            _ = try segmenter.segment(
                .volume(volume), options: SegmenterOptions(box: Box(x0: 5, y0: 5, x1: 35, y1: 35), shift: 0), trace: nil
            ) { done, _ in if done == 20 { early = residentKiB() } }
            #expect(residentKiB() - early < 16 << 10)
        }

        private func residentKiB() -> Int {
            let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
            return line.split(separator: " ").compactMap { Int($0) }.first ?? 0
        }
    }

    /// The catalogue, and the weights that a segmenter runs on.
    @Suite struct CatalogueTests {
        /// Names and versions are parts of derived UIDs, so a change here changes every UID of that
        /// segmenter.
        @Test func `the catalogue has these segmenters in this order, with these versions`() throws {
            func hash(_ name: String) throws -> Substring {
                try Segmenters.entry(name).template.weightsHash.prefix(8)
            }
            let polyp = try "+polyp-compact.\(hash("polyp-compact"))"
            let atrium = try "+left-atrium-compact.\(hash("left-atrium-compact"))"
            let expected = [
                "polyp-compact 1.3.1", "left-atrium-compact 1.3.1", "medsam-compact-box 1.1.1\(polyp)",
                "medsam-compact-slices 1.1.1\(atrium)",
                "medsam2-compact 1.1.1+medsam2.\(atrium.dropFirst())",
                "medsam2-compact-frames 1.0.2+sam2-video.\(polyp.dropFirst())",
                "sam-auto 1.1.1", "sam-box 1.1.1\(polyp)",
                "sam-point 1.1.1\(polyp)", "sam2-box 1.0.1\(polyp)", "sam2-point 1.0.1\(polyp)",
                "medsam-box 1.1.1\(polyp)", "medsam-slices 1.1.1\(atrium)",
                "lite-medsam-box 1.1.1\(polyp)", "lite-medsam-slices 1.1.1\(atrium)",
                "medsam2-track 1.0.2+medsam2.\(atrium.dropFirst())",
                "medsam2-track-frames 1.0.2+sam2-video.\(polyp.dropFirst())",
                "sam2-track 1.0.2+sam2-video.\(atrium.dropFirst())",
                "sam2-track-frames 1.0.2+sam2-video.\(polyp.dropFirst())",
            ]
            #expect(Segmenters.catalogue.map { "\($0.name) \($0.template.version)" } == expected)
        }

        /// L*, a* and b* of an sRGB colour under D65 (IEC 61966-2-1, CIE 15).
        private func lab(_ color: DisplayColor) -> [Double] {
            let linear = [color.red, color.green, color.blue].map { channel in
                let value = Double(channel) / 255
                return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
            }
            let (red, green, blue) = (linear[0], linear[1], linear[2])
            let f = [
                (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
                0.2126 * red + 0.7152 * green + 0.0722 * blue,
                (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
            ].map { $0 > 0.008856 ? cbrt($0) : 7.787 * $0 + 16.0 / 116 }
            return [116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])]
        }

        /// A distance of 40 is far above 2.3, the least that people notice side by side.
        @Test func `no two segmenters have colours that people could take for one another`() {
            let colors = Segmenters.catalogue.map { ($0.name, lab($0.template.recommendedDisplayColor)) }
            for (index, one) in colors.enumerated() {
                for other in colors[(index + 1)...] {
                    let distance = zip(one.1, other.1).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
                    #expect(distance >= 40, "\(one.0) and \(other.0)")
                }
            }
        }

        private func weights(_ names: [String]) -> [InstalledWeights] {
            names.map {
                InstalledWeights(
                    name: $0, family: .sam, architecture: "ViT-B", sha256: String(repeating: "a", count: 64), bytes: 1,
                    parameters: 1, source: InstalledWeights.OriginalFile(file: "x", sha256: ""), licence: "L",
                    path: "/x")
            }
        }

        @Test func `the only file of a family is chosen, several need a name, and a missing one is an error`() throws {
            let only = try Segmenters.choose("sam-box", among: weights(["b"]))
            #expect(only.weights?.name == "b" && only.descriptor.weightsHash == only.weights?.sha256)
            #expect(only.descriptor.licence == "L")
            let chosen = try Segmenters.choose("sam-box", weights: "h", among: weights(["b", "h"]))
            #expect(chosen.weights?.name == "h")
            for (name, asked, names, reason) in [
                ("sam-box", nil, ["b", "h"], "choose one of b, h"),
                ("sam-box", "l", ["b"], "named l are installed, only b"),
                ("medsam-box", nil, ["b"], "are not installed"), ("polyp-compact", "b", ["b"], "inside the executable"),
            ] as [(String, String?, [String], String)] {
                #expect { _ = try Segmenters.choose(name, weights: asked, among: weights(names)) } throws: {
                    "\($0)".hasPrefix("\(name) lacks its weights") && "\($0)".contains(reason)
                }
            }
        }

        @Test func `weights inside the executable serve until a site installs others`() throws {
            let entry = try Segmenters.entry("medsam-compact-box")
            let fitting = try DrawnModels.installed().filter { $0.family == .medsamCompact }
            #expect(try Segmenters.choose(entry.name, among: fitting).weights?.name == "compact")
            let count = try Segmenters.installed(fitting).count { $0.descriptor.name == entry.name }
            #expect(count == (entry.isEmbedded ? 2 : 1))
            guard entry.isEmbedded else {
                #expect { _ = try Segmenters.choose(entry.name, among: []) } throws: {
                    "\($0)".contains("training/README.md")
                }
                return
            }
            let inside = try Segmenters.choose(entry.name, among: [])
            #expect(inside.weights == nil && inside.descriptor.weightsHash.count == 64)
            #expect(try Segmenters.make(inside).descriptor == inside.descriptor)
        }

        @Test func `another version, and a file that changed, are refused`() throws {
            var other = try Segmenters.choose("sam-box", among: DrawnModels.installed())
            other.descriptor.version = "0.9"
            #expect { _ = try Segmenters.make(other) } throws: {
                "\($0)".contains("with the weights of this job is not here")
            }
            var changed = try Segmenters.choose("sam-box", among: DrawnModels.installed())
            changed.descriptor.weightsHash = String(repeating: "0", count: 64)
            #expect { _ = try Segmenters.make(changed) } throws: { "\($0)".contains("SHA-256") }
        }
    }
}
