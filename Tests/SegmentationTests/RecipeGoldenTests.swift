// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Inference
import Segmentation
import Testing

/// Compares the pre- and post-processing of the SAM family with the reference implementations.
///
/// `training/references/golden_recipes.py` writes the expected values, for an input of 64 x 64.
@Suite struct RecipeGoldenTests {
    let file: SafeTensors
    static let images = Array(0..<11)
    static let answers = [[37, 53], [100, 90], [1, 40], [64, 64]]
    /// The families that golden_recipes.py knows; `SequenceGoldenTests` tests the others.
    static let families = [ModelFamily.sam, .medsam, .liteMedSAM, .medsamCompact]

    init() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
        file = try SafeTensors(path: folder.appending(path: "recipes.safetensors").path)
    }

    private func image(_ name: String) throws -> ByteImage {
        let tensor = try file.tensor(name)
        return ByteImage(
            rows: tensor.shape[0], columns: tensor.shape[1], channels: tensor.shape[2],
            values: tensor.values.map { UInt8($0) })
    }

    /// The fraction of bytes that differ.
    ///
    /// A difference of more than one fails the test.
    private func compare(_ found: [UInt8], _ expected: ByteImage) throws -> Double {
        try #require(found.count == expected.values.count)
        let differences = zip(found, expected.values).map { abs(Int($0) - Int($1)) }
        #expect(differences.max() ?? 0 <= 1)
        return Double(differences.count { $0 > 0 }) / Double(differences.count)
    }

    @Test(arguments: images) func `Pillow's resize is matched to the bit`(index: Int) throws {
        guard file.shape(of: "\(index).sam") != nil else { return }
        let (source, expected) = (try image("\(index).image"), try image("\(index).sam"))
        let found = PillowResize.resize(source, rows: expected.rows, columns: expected.columns)
        let share = try compare(found.colour.values, expected)
        // Pillow takes high pictures down the columns first.
        #expect(share <= (source.rows > 2 * source.columns ? 0.2 : 0))
    }

    @Test(arguments: images) func `OpenCV's area resize is matched within a grey level`(index: Int) throws {
        guard file.shape(of: "\(index).lite") != nil else { return }
        let expected = try image("\(index).lite")
        let found = try AreaResize.resize(image("\(index).image"), rows: expected.rows, columns: expected.columns)
        // A sum that lies on a half is rounded by the order of additions.
        #expect(try compare(found.colour.values, expected) <= 0.01)
    }

    @Test(arguments: images) func `scikit-image's cubic spline is matched within a grey level`(index: Int) throws {
        let expected = try image("\(index).medsam")
        let found = try SplineResize.resize(image("\(index).image").colour, rows: 64, columns: 64).map { UInt8($0) }
        // On a constant area the spline is a rounding error below or above a whole number.
        #expect(try compare(found, expected) <= 0.05)
    }

    @Test(arguments: families)
    func `the network's input equals the reference's`(family: ModelFamily) throws {
        let prepared = try PreparedImage(image("0.image"), family: family, size: 64)
        let expected = try file.tensor("input.\(Self.name(family))")
        #expect(prepared.input.shape == [1] + expected.shape)
        // One grey level: 1/248 of the range 0...1 for MedSAM and LiteMedSAM, and 1/57.12 after
        // normalisation for the others.
        let level: Float = family == .sam || family == .medsamCompact ? 1 / 57.12 : 1 / 248
        let largest = zip(prepared.input.values, expected.values).map { abs($0 - $1) }.max() ?? 1
        #expect(largest <= level)
        #expect(family == .medsam || largest < 1e-5)
    }

    @Test func `MR intensities become the bytes of the reference`() throws {
        let bytes = try MagneticResonance.bytes(file.tensor("mri.volume").values)
        #expect(try bytes.map(Float.init) == file.tensor("mri.bytes").values)
    }

    @Test func `intensities without extent become zeros`() {
        #expect(MagneticResonance.bytes([0, 0]) == [0, 0])
        #expect(MagneticResonance.bytes([7, 7, 7]) == [0, 0, 0])
        #expect(MagneticResonance.bytes([-3, -2]) == [0, 0])
    }

    @Test(arguments: answers, families)
    func `logits become the reference's answer in the image's size`(size: [Int], family: ModelFamily) throws {
        let tensor = try file.tensor(family == .liteMedSAM ? "logits.lite" : "logits")
        let answer = PromptAnswer(
            logits: Tensor(shape: [1] + tensor.shape, values: tensor.values), predictedIoU: [1])
        let grid = InputGrid(rows: size[0], columns: size[1], family: family, size: 64)
        let found = ImageAnswer(answer, mask: 0, on: grid)
        let expected = try file.tensor("\(size[0])x\(size[1]).\(Self.name(family))").values
        let hasLogits = family == .sam || family == .medsamCompact
        let cut: Float = hasLogits ? 0 : 0.5
        for index in expected.indices {
            let probability = hasLogits ? ImageAnswer.sigmoid(expected[index]) : expected[index]
            #expect(abs(found.probabilities[index] - probability) < 1e-5)
            guard abs(expected[index] - cut) > 1e-5 else { continue }
            #expect(found.mask[index] == (expected[index] > cut ? 1 : 0))
        }
    }

    @Test func `a box is drawn as medsam-compact was trained on it`() throws {
        let found = DrawnBox.mask(PromptBox(x0: 3.5, y0: 6, x1: 19.25, y1: 30), size: 16)
        let expected = try file.tensor("box.plane").values
        #expect(found.shape == [1, 16, 16, 1])
        #expect(zip(found.values, expected).allSatisfy { abs($0 - $1) < 1e-5 })
        #expect(expected.max() ?? 0 > 4.9 && expected.min() == -5)
    }

    private static func name(_ family: ModelFamily) -> String { family == .liteMedSAM ? "lite" : family.rawValue }
}

/// Compares the input and output of networks that track with the reference implementations.
///
/// `training/references/golden_sequence.py` writes the expected values, for an input of 32 x 32.
@Suite struct SequenceGoldenTests {
    let file: SafeTensors

    init() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
        file = try SafeTensors(path: folder.appending(path: "sequence.safetensors").path)
    }

    private func image(_ name: String) throws -> ByteImage {
        let tensor = try file.tensor(name)
        return ByteImage(
            rows: tensor.shape[0], columns: tensor.shape[1], channels: tensor.shape[2],
            values: tensor.values.map { UInt8($0) })
    }

    @Test(arguments: 0..<6) func `Pillow's bicubic is matched to the bit`(index: Int) throws {
        let source = try image("\(index).image")
        let found = PillowResize.resize(source, rows: 32, columns: 32, filter: .bicubic)
        #expect(try found.values == image("\(index).bicubic").values)
        // The bilinear filter is a control.
        #expect(index == 3 || PillowResize.resize(source, rows: 32, columns: 32).values != found.values)
    }

    /// One grey level of one pixel changes the inputs by 6e-3 and more.
    @Test func `frames are prepared as SAM 2 and MedSAM2 prepare them`() throws {
        func largest(_ found: Tensor, _ name: String) throws -> Float {
            let expected = try file.tensor("input.\(name)")
            try #require(found.shape == [1] + expected.shape)
            return zip(found.values, expected.values).map { abs($0 - $1) }.max() ?? 1
        }
        let first = try image("0.image")
        #expect(try largest(SequenceInput.input(first, family: .sam2, size: 32), "sam2") < 1e-6)
        #expect(try largest(SequenceInput.input(first, family: .medsam2, size: 32), "medsam2") < 1e-6)
        #expect(try largest(PreparedImage(first, family: .sam2, size: 32).input, "image") < 1e-5)
        #expect(try largest(PreparedImage(first, family: .sam2, size: 32).input, "sam2") > 0.1)
    }

    @Test(arguments: [[37, 53], [100, 90], [1, 40], [64, 64]], [ModelFamily.sam2, .medsam2])
    func `logits become the reference's answer in the frame's size`(size: [Int], family: ModelFamily) throws {
        let tensor = try file.tensor("logits")
        let answer = PromptAnswer(
            logits: Tensor(shape: [1] + tensor.shape, values: tensor.values), predictedIoU: [1])
        let grid = InputGrid(rows: size[0], columns: size[1], family: family, size: 64)
        let found = ImageAnswer(answer, mask: 0, on: grid)
        for (index, logit) in try file.tensor("\(size[0])x\(size[1])").values.enumerated() {
            #expect(abs(found.probabilities[index] - ImageAnswer.sigmoid(logit)) < 1e-5)
            if abs(logit) > 1e-5 { #expect(found.mask[index] == (logit > 0 ? 1 : 0)) }
        }
    }
}
