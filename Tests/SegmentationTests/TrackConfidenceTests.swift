// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Inference
import Segmentation
import Testing

extension SegmentationSuites {
    /// The confidence of tracked volumes and frames, on a scaled-down network with random weights and made-up fits, and
    /// on the shipped network beside training/recipes/tracked_confidence.py.
    @Suite struct TrackConfidenceTests {
        private static let volumeTerms = [
            "objectPresence": 0.3, "predictedIoU": 0.7, "stabilityScore": 0.5, "jitterAgreement": 0.2,
            "promptAgreement": 0.4, "likeness": 0.1,
        ]
        private static let sliceTerms = ["objectPresence": 0.2, "predictedIoU": 0.9, "stabilityScore": 0.1]
        private static let fits = """
            {"confidence":{"found":{"bias":-0.4,"weights":\(json(volumeTerms))}},\
            "slice_confidence":{"found":{"bias":0.2,"weights":\(json(sliceTerms))},"empty":{"bias":0.3,"weight":0.8}},\
            "frame_confidence":{"found":{"bias":-0.2,"weights":\(json(sliceTerms))}}}
            """

        private static func json(_ terms: [String: Double]) -> String {
            "{" + terms.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
        }

        private func value(_ bias: Double, _ terms: [String: Double], _ measures: [String: Double]) -> Double {
            func logit(_ value: Double) -> Double {
                let inside = min(max(value, 1e-3), 1 - 1e-3)
                return log(inside / (1 - inside))
            }
            return 1 / (1 + exp(-terms.reduce(bias) { $0 + $1.value * logit(measures[$1.key] ?? .nan) }))
        }

        private func segmenter(_ name: String, _ facts: String) throws -> any Segmenter {
            try Segmenters.make(Segmenters.choose(name, among: DrawnModels.tracker(facts: facts)))
        }

        private func segment(_ options: SegmenterOptions) throws -> SegmenterResult {
            let volume = Inputs.volume(6, 31, 37, Inputs.pattern)
            return try segmenter("medsam2-compact", Self.fits).segment(.volume(volume), options: options, trace: nil) {
                _, _ in
            }
        }

        private let box = Box(x0: 8, y0: 6, x1: 30, y1: 25)

        @Test func `a volume's measures are weighted by area, and it and its slices have fits of their own`() throws {
            let result = try segment(SegmenterOptions(box: box, keySlice: 3))
            let measures = result.confidence.measures
            try #require(result.masks.contains { !$0.isEmpty })
            #expect(Set(measures.keys) == Set(Self.volumeTerms.keys))
            let areas = result.masks.map { Double($0.area) }
            for name in Self.sliceTerms.keys {
                let sum = zip(areas, result.frameConfidence).reduce(0) { $0 + $1.0 * ($1.1.measures[name] ?? 0) }
                #expect(abs(sum / areas.reduce(0, +) - (measures[name] ?? -1)) < 1e-9, "\(name)")
            }
            let prompted = result.masks[2].isEmpty ? 0 : result.frameConfidence[2].measures["jitterAgreement"]
            #expect(measures["jitterAgreement"] == prompted)
            #expect(abs(result.confidence.value - value(-0.4, Self.volumeTerms, measures)) < 1e-9)
            for (mask, confidence) in zip(result.masks, result.frameConfidence) {
                let presence = try #require(confidence.measures["objectPresence"])
                let expected =
                    mask.isEmpty
                    ? value(0.3, ["absence": 0.8], ["absence": 1 - presence])
                    : value(0.2, Self.sliceTerms, confidence.measures)
                #expect(abs(confidence.value - expected) < 1e-9)
            }
        }

        @Test func `without a measure that the fit needs, the mean over the outlined slices counts`() throws {
            let result = try segment(SegmenterOptions(box: box, keySlice: 3, shift: 0))
            let outlined = result.masks.indices.filter { !result.masks[$0].isEmpty }
            try #require(!outlined.isEmpty)
            let mean = outlined.reduce(0) { $0 + result.frameConfidence[$1].value } / Double(outlined.count)
            #expect(abs(result.confidence.value - mean) < 1e-9)
            #expect(result.confidence.measures["promptAgreement"] == nil)
        }

        @Test func `frames have a fit of their own`() throws {
            let frames = (0..<2).map { shift in
                Inputs.frame(70, 99) { 60 + Inputs.pattern($0 + $1 + shift).truncatingRemainder(dividingBy: 190) }
            }
            let options = SegmenterOptions(box: Box(x0: 20, y0: 15, x1: 71, y1: 52), keySlice: 1)
            let result = try segmenter("medsam2-compact-frames", Self.fits).segment(
                .frames(frames), options: options, trace: nil
            ) { _, _ in }
            for (mask, confidence) in zip(result.masks, result.frameConfidence) {
                let presence = try #require(confidence.measures["objectPresence"])
                let expected = mask.isEmpty ? 1 - presence : value(-0.2, Self.sliceTerms, confidence.measures)
                #expect(abs(confidence.value - expected) < 1e-9)
            }
        }

        @Test(arguments: [
            (#"{"confidence":{"found":{"bias":0,"weights":{"viewAgreement":1}}}}"#, "fitted to viewAgreement"),
            (#"{"slice_confidence":{"found":{"bias":0,"weights":{"likeness":1}}}}"#, "fitted to likeness"),
            (#"{"frame_confidence":{"found":{"bias":0,"weights":{"predictedIoU":-1}}}}"#, "is negative"),
        ])
        func `a fit that the segmenter cannot use is refused with the reason`(facts: String, reason: String) throws {
            for name in ["medsam2-compact", "medsam2-compact-frames"] {
                #expect { _ = try segmenter(name, facts) } throws: {
                    "\($0)".contains(reason) && "\($0)".contains(name)
                }
            }
        }

        @Test func `a prompt agrees with a mask that it shows, whatever its size, and not with one beside it`() {
            let pixels = (0..<20 * 10).map { UInt8((4..<8).contains($0 / 20) && (5..<15).contains($0 % 20) ? 1 : 0) }
            let mask = Mask(rows: 10, columns: 20, pixels: pixels)
            let grid = InputGrid(rows: 10, columns: 20, family: .medsam2Compact, size: 100)
            func agreement(_ x0: Float, _ y0: Float, _ x1: Float, _ y1: Float, points: [PromptPoint] = []) -> Double {
                Prompt(points: points, box: PromptBox(x0: x0, y0: y0, x1: x1, y1: y1)).agreement(with: mask, on: grid)
            }
            // A pixel of the mask is 5 x 10 pixels of the input.
            #expect(agreement(25, 40, 75, 80) == 1)
            #expect(agreement(40, 50, 60, 70) == 1)
            #expect(agreement(0, 0, 100, 100) == 1)
            #expect(agreement(75, 40, 100, 80) == 0)
            #expect(agreement(50, 40, 100, 80) == 0.5)
            let points = [
                PromptPoint(x: 50, y: 60, label: .foreground), PromptPoint(x: 5, y: 5, label: .background),
                PromptPoint(x: 90, y: 60, label: .foreground), PromptPoint(x: 50, y: 50, label: .background),
            ]
            #expect(Prompt(points: points).agreement(with: mask, on: grid) == 0.5)
            #expect(agreement(25, 40, 75, 80, points: Array(points[..<2])) == 1)
            #expect(agreement(25, 40, 75, 80, points: points) == 0.5)
            #expect(Prompt(points: points).agreement(with: Mask(rows: 10, columns: 20), on: grid) == 0)
        }

        /// Answers of the shipped network in Python; training/references/golden_tracked_confidence.py writes them.
        private struct Golden: Decodable {
            struct Case: Decodable {
                let boxes: [Int: [Double]]
                let isEmpty: Bool
                let measures: [String: Double]
                let confidence: Double
                let slices: [Int: Double]
                /// The largest change of these numbers in bf16.
                let bf16: Double
            }

            let weights: String
            let cases: [Case]
        }

        @Test func `drawn tracks have the measures and confidences of training`() throws {
            let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
            let golden = try JSONDecoder().decode(
                Golden.self, from: Data(contentsOf: folder.appending(path: "tracked-confidence.json")))
            let shipped = try Segmenters.choose("medsam2-compact", among: [])
            #expect(
                golden.weights == shipped.descriptor.weightsHash,
                "run python -m training.references.golden_tracked_confidence")
            try #require(!golden.cases.isEmpty)
            let (file, reference) = try Reference.open("left-atrium-compact")
            let input = try file.tensor("0.input")
            let spacing = try #require(reference.inputs[0].spacing)
            let plane = PlaneGeometry(
                position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
                rowSpacing: spacing[1], columnSpacing: spacing[2])
            let volume = Volume(
                slices: input.shape[0], rows: input.shape[1], columns: input.shape[2], voxels: input.values,
                plane: plane, sliceSpacing: spacing[0])
            let segmenter = try Segmenters.make(shipped)
            let isRounded = try Compute.transformerPrecision() == .bf16
            for expected in golden.cases {
                let prompts = expected.boxes.sorted { $0.key < $1.key }.map { slice, box in
                    SlicePrompt(slice: slice + 1, box: Box(x0: box[0], y0: box[1], x1: box[2], y1: box[3]))
                }
                let result = try segmenter.segment(
                    .volume(volume), options: SegmenterOptions(slicePrompts: prompts), trace: nil
                ) { _, _ in }
                // In fp32, sums in another order change the numbers by much less than this.
                let tolerance = isRounded ? 0.02 + 2 * expected.bf16 : 2e-3
                #expect(result.masks.allSatisfy { $0.isEmpty } == expected.isEmpty)
                #expect(abs(result.confidence.value - expected.confidence) < tolerance)
                for (name, found) in result.confidence.measures where !expected.isEmpty {
                    #expect(abs(found - (expected.measures[name] ?? -1)) < tolerance, "\(name)")
                }
                for (slice, value) in expected.slices {
                    #expect(abs(result.frameConfidence[slice].value - value) < tolerance, "slice \(slice)")
                }
            }
        }
    }
}
