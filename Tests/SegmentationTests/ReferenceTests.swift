// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Inference
import Segmentation
import TestSupport
import Testing

/// The answers of the recipes in training/ for one set of weights.
///
/// `training/references/reference_answers.py` writes them.
struct Reference: Decodable {
    struct Input: Decodable {
        let measures: [String: Double]
        let confidence: Double
        var spacing: [Double]?
    }

    /// SHA-256 of the weights behind these numbers.
    let weights: String
    let inputs: [Input]
    /// Dice of held-out frames.
    let held_out: [String: Double]
    /// Area of the mask in each slice of an MR series, pixels.
    let series: [String: [Int]]

    static func open(_ name: String) throws -> (SafeTensors, Reference) {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
        let file = try SafeTensors(path: folder.appending(path: "\(name).safetensors").path)
        let facts = try JSONDecoder().decode(Reference.self, from: Data(#require(file.metadata["kontur"]).utf8))
        return (file, facts)
    }
}

extension SegmentationSuites {
    /// Compares whole recipes with those in Python.
    ///
    /// Both compute in fp32, with sums in another order. Probabilities differ by less than 1e-3
    /// (0.05 in bf16). Masks differ only if a probability is that close to the threshold.
    @Suite struct ReferenceTests {
        let tolerance: Float = (try? Compute.precision()) == .bf16 ? 0.05 : 1e-3

        @Test(arguments: Segmenters.catalogue.filter { $0.family == nil }.map(\.template))
        func `the reference was made with these weights`(
            descriptor: SegmenterDescriptor
        ) throws {
            let (_, reference) = try Reference.open(descriptor.name)
            #expect(reference.weights == descriptor.weightsHash, "run python -m training.references.reference_answers")
        }

        @Test func `drawn frames get the probabilities and masks of training`() throws {
            let (file, reference) = try Reference.open("polyp-compact")
            let frames = try reference.inputs.indices.map { index in
                let input = try file.tensor("\(index).input")
                return Frame(rows: input.shape[0], columns: input.shape[1], channels: 3, samples: input.values)
            }
            let result = try Segmenters.make("polyp-compact").segment(.frames(frames)) { _, _ in }
            for (index, expected) in reference.inputs.enumerated() {
                try compare(
                    result.probabilities[index], result.masks[index].pixels, result.frameConfidence[index], file, index,
                    expected)
            }
        }

        @Test(arguments: [false, true])
        func `a drawn volume gets the probabilities and mask of training, however it is oriented`(turned: Bool) throws {
            let (file, reference) = try Reference.open("left-atrium-compact")
            for (index, expected) in reference.inputs.enumerated() {
                let input = try file.tensor("\(index).input")
                let spacing = try #require(expected.spacing)
                let shape = input.shape
                let segmenter = try Segmenters.make("left-atrium-compact")
                if turned {
                    // Sagittal slices from right to left, rows running to the feet, columns to
                    // posterior.
                    let plane = PlaneGeometry(
                        position: Vector3(0, 0, 0), rowDirection: Vector3(0, 1, 0), columnDirection: Vector3(0, 0, -1),
                        rowSpacing: spacing[0], columnSpacing: spacing[1])
                    let source = Volume(
                        slices: shape[2], rows: shape[0], columns: shape[1], voxels: sagittal(input.values, shape),
                        plane: plane, sliceSpacing: spacing[2])
                    let result = try segmenter.segment(.volume(source)) { _, _ in }
                    let probability = axial(result.probabilities.flatMap { $0 }, shape)
                    let mask = axial(result.masks.flatMap(\.pixels), shape)
                    try compare(probability, mask, result.confidence, file, index, expected)
                } else {
                    let plane = PlaneGeometry(
                        position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
                        rowSpacing: spacing[1], columnSpacing: spacing[2])
                    let source = Volume(
                        slices: shape[0], rows: shape[1], columns: shape[2], voxels: input.values, plane: plane,
                        sliceSpacing: spacing[0])
                    let result = try segmenter.segment(.volume(source)) { _, _ in }
                    try compare(
                        result.probabilities.flatMap { $0 }, result.masks.flatMap(\.pixels), result.confidence, file,
                        index, expected)
                }
            }
        }

        /// [inferior to superior, to posterior, to left] as slices to the right, rows to the feet,
        /// columns to posterior.
        private func sagittal(_ values: [Float], _ shape: [Int]) -> [Float] {
            var turned = [Float]()
            // The normal of these planes is row direction x column direction: (0, 1, 0) x (0, 0,
            // -1) = (-1, 0, 0).
            for left in (0..<shape[2]).reversed() {
                for up in (0..<shape[0]).reversed() {
                    for back in 0..<shape[1] { turned.append(values[(up * shape[1] + back) * shape[2] + left]) }
                }
            }
            return turned
        }

        private func axial<Value>(_ values: [Value], _ shape: [Int]) -> [Value] {
            var turned = [Value]()
            for up in 0..<shape[0] {
                for back in 0..<shape[1] {
                    for left in 0..<shape[2] {
                        let slice = shape[2] - 1 - left
                        turned.append(values[(slice * shape[0] + shape[0] - 1 - up) * shape[1] + back])
                    }
                }
            }
            return turned
        }

        private func compare(
            _ probability: [Float], _ mask: [UInt8], _ confidence: Confidence, _ file: SafeTensors, _ index: Int,
            _ expected: Reference.Input
        ) throws {
            let reference = try file.tensor("\(index).probability").values
            let truth = try file.tensor("\(index).mask").values
            try #require(probability.count == reference.count && mask.count == truth.count)
            let largest = zip(probability, reference).map { abs($0 - $1) }.max() ?? 0
            #expect(largest < tolerance)
            let flipped = mask.indices.filter { Float(mask[$0]) != truth[$0] }
            #expect(flipped.allSatisfy { abs(reference[$0] - 0.5) < tolerance })
            #expect(abs(confidence.value - expected.confidence) < Double(tolerance))
            for (name, value) in expected.measures where name != "absence" {
                let found = try #require(confidence.measures[name])
                #expect(abs(found - value) < Double(tolerance), "\(name)")
            }
        }

        @Test(.enabled(if: Checkout.data != nil, Comment(rawValue: Checkout.dataMissing)))
        func `held-out colonoscopy frames score as in training`() throws {
            let folder = try #require(Checkout.data).appending(path: "kvasir-seg/validation")
            let (_, reference) = try Reference.open("polyp-compact")
            #expect(!reference.held_out.isEmpty)
            let segmenter = try Segmenters.make("polyp-compact")
            for (name, expected) in reference.held_out {
                let frame = try Picture(path: folder.appending(path: "images/\(name).jpg").path).frame
                let truth = try Picture(path: folder.appending(path: "masks/\(name).jpg").path).mask(above: 127)
                let result = try segmenter.segment(.frames([frame])) { _, _ in }
                #expect(abs(Dice.score(result.masks[0], truth) - expected) < 0.005, "frame \(name)")
            }
        }

        @Test func `the sample MR series has the area of training in every slice`() throws {
            try compareAreas("samples-dicom/lge", in: Checkout.root)
        }

        @Test(
            .enabled(if: Checkout.data != nil, Comment(rawValue: Checkout.dataMissing)),
            arguments: ["dicom/la-06SR5R", "dicom/la-0RZDK2"])
        func `real MR series have the area of training in every slice`(name: String) throws {
            try compareAreas(name, in: #require(Checkout.data))
        }

        private func compareAreas(_ name: String, in root: URL) throws {
            let folder = root.appending(path: name)
            let paths = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".dcm") }
            let files = try paths.map { try InstanceFile(path: folder.appending(path: $0).path) }
            let assembly = try VolumeAssembly(
                frames: files.map { try $0.frames()[0] }, planes: files.map { try #require($0.header.plane) },
                gaps: .refuse)
            let (_, reference) = try Reference.open("left-atrium-compact")
            let expected = try #require(reference.series[name])
            let result = try Segmenters.make("left-atrium-compact").segment(.volume(assembly.volume)) { _, _ in }
            let found = result.masks.map(\.area)
            try #require(found.count == expected.count)
            let difference = zip(found, expected).reduce(0) { $0 + abs($1.0 - $1.1) }
            // Rounding decides the voxels whose probability is about the threshold. bf16 moves an
            // outline by parts of a voxel.
            #expect(Double(difference) <= Double(expected.reduce(0, +)) * (tolerance > 0.01 ? 0.02 : 0.0005))
        }
    }
}
