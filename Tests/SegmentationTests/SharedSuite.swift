// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Segmentation
import Testing

/// Runs tests with inference one after the other, because OpenMP keeps a team of threads for each
/// calling thread.
@Suite(.serialized) struct SegmentationSuites {}

/// Small inputs of the kind a segmenter accepts.
enum Inputs {
    static func frame(_ rows: Int, _ columns: Int, channels: Int = 3, _ value: (Int, Int) -> Float) -> Frame {
        let samples = (0..<rows * columns).flatMap { pixel in
            (0..<channels).map { value(pixel, $0) }
        }
        return Frame(rows: rows, columns: columns, channels: channels, samples: samples)
    }

    static let identity = PlaneGeometry(
        position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0), rowSpacing: 2,
        columnSpacing: 2)

    static func volume(_ slices: Int, _ rows: Int, _ columns: Int, _ value: (Int) -> Float) -> Volume {
        Volume(
            slices: slices, rows: rows, columns: columns, voxels: (0..<slices * rows * columns).map(value),
            plane: identity, sliceSpacing: 2.5)
    }

    /// A repeatable ramp with waves, from 10 to far beyond 255.
    static func pattern(_ index: Int) -> Float {
        let noise = UInt32(truncatingIfNeeded: index) &* 158
        return Float(noise) * 0.3 + 90 + 80 * sin(Float(index) / 200)
    }

    static func make(for accepts: SegmenterDescriptor.Accepts, _ value: (Int) -> Float) -> SegmenterInput {
        switch accepts {
        case .frames:
            .frames([
                frame(99, 101) { pixel, channel in value(pixel + channel) },
                frame(40, 64) { pixel, channel in value(3 * pixel + channel) },
            ])
        case .volume: .volume(volume(12, 31, 37, value))
        }
    }

    /// (rows, columns) of every plane of an input.
    static func sizes(_ input: SegmenterInput) -> [[Int]] {
        switch input {
        case .frames(let frames): frames.map { [$0.rows, $0.columns] }
        case .volume(let volume): (0..<volume.slices).map { _ in [volume.rows, volume.columns] }
        }
    }
}

extension SegmentationSuites {
    /// The tests that every segmenter passes.
    @Suite struct SharedSuite {
        static let names = Segmenters.catalogue.map(\.name)
        /// Segmenters with weights inside the executable.
        ///
        /// conformance/checks/bad_input.py shows odd images to the others.
        static let builtIn = Segmenters.catalogue.filter(\.isEmbedded).map(\.name)

        private func make(_ name: String) throws -> any Segmenter { try DrawnModels.segmenter(name) }

        @Test func `every descriptor can be encoded, has a hash, and has a unique name`() throws {
            let descriptors = try Segmenters.installed(DrawnModels.installed()).map(\.descriptor)
            // An embedded segmenter is listed again for each installed file of its family.
            let once = descriptors.reduce(into: [String]()) { if !$0.contains($1.name) { $0.append($1.name) } }
            #expect(Set(Self.names).count == Segmenters.catalogue.count && once == Self.names)
            #expect(Set(descriptors.map { $0.name + $0.weightsHash }).count == descriptors.count)
            for descriptor in descriptors {
                let data = try JSONEncoder().encode(descriptor)
                #expect(try JSONDecoder().decode(SegmenterDescriptor.self, from: data) == descriptor)
                #expect(descriptor.weightsHash.count == 64 && descriptor.weightsHash.allSatisfy { $0.isHexDigit })
                let texts = [descriptor.segmentLabel, descriptor.title, descriptor.type.meaning, descriptor.licence]
                #expect(texts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { $0 < 128 } })
                // Limits of the value representations SH, LO and CS of their attributes.
                #expect(descriptor.version.count <= 64)
                #expect(descriptor.type.value.count <= 16 && descriptor.type.meaning.count <= 64)
                #expect(descriptor.segmentLabel.count <= 64)
            }
        }

        @Test func `an unknown name is refused with the names of the catalogue`() {
            #expect(throws: SegmentationError.unknownSegmenter("liver", known: Self.names)) {
                try Segmenters.make("liver")
            }
            let error = SegmentationError.unknownSegmenter("liver", known: ["a", "b"])
            #expect("\(error)" == "no segmenter is named liver: choose one of a, b")
        }

        @Test(arguments: names) func `the answer lies on the source's grid`(name: String) throws {
            let segmenter = try make(name)
            #expect(segmenter.descriptor.name == name)
            let input = Inputs.make(for: segmenter.descriptor.accepts, Inputs.pattern)
            let sizes = Inputs.sizes(input)
            let result = try segmenter.segment(input) { _, _ in }
            #expect(result.masks.map { [$0.rows, $0.columns] } == sizes)
            #expect(result.probabilities.map(\.count) == sizes.map { $0[0] * $0[1] })
            #expect(result.probabilities.joined().allSatisfy { $0 >= 0 && $0 <= 1 })
            #expect(result.masks.map(\.pixels).joined().allSatisfy { $0 <= 1 })
            #expect(result.frameConfidence.count == sizes.count)
            for confidence in result.frameConfidence + [result.confidence] {
                #expect(
                    (0...1).contains(confidence.value) && confidence.measures.values.allSatisfy { (0...1).contains($0) }
                )
            }
            #expect(result.notes.allSatisfy { $0.utf8.allSatisfy { $0 < 128 } })
        }

        @Test(arguments: names) func `the same input gives the same answer bit for bit`(name: String) throws {
            let segmenter = try make(name)
            let input = Inputs.make(for: segmenter.descriptor.accepts, Inputs.pattern)
            let other = Inputs.make(for: segmenter.descriptor.accepts) { Inputs.pattern($0 * 7) }
            let first = try segmenter.segment(input) { _, _ in }
            _ = try segmenter.segment(other) { _, _ in }
            for again in [segmenter, try make(name)] {
                let second = try again.segment(input) { _, _ in }
                #expect(second.masks == first.masks)
                #expect(second.probabilities == first.probabilities)
                #expect(second.confidence == first.confidence && second.frameConfidence == first.frameConfidence)
            }
        }

        /// Grey input whose first nine of 37 columns are padding with a value of its own.
        private func padded(for accepts: SegmenterDescriptor.Accepts, with value: Float) -> SegmenterInput {
            let (rows, columns) = (31, 37)
            let slices = accepts == .volume ? 12 : 1
            let padding = (0..<slices * rows * columns).map { UInt8($0 % columns < 9 ? 1 : 0) }
            let samples = padding.indices.map { padding[$0] == 1 ? value : Inputs.pattern($0) }
            guard accepts == .volume else {
                return .frames([Frame(rows: rows, columns: columns, channels: 1, samples: samples, padding: padding)])
            }
            return .volume(
                Volume(
                    slices: slices, rows: rows, columns: columns, voxels: samples, padding: padding,
                    plane: Inputs.identity, sliceSpacing: 2.5))
        }

        @Test(arguments: names) func `padded pixels decide nothing, and no mask covers them`(name: String) throws {
            let segmenter = try make(name)
            let accepts = segmenter.descriptor.accepts
            let low = try segmenter.segment(padded(for: accepts, with: -32_768)) { _, _ in }
            let high = try segmenter.segment(padded(for: accepts, with: 70_000)) { _, _ in }
            #expect(low.masks == high.masks && low.probabilities == high.probabilities)
            #expect(low.confidence == high.confidence)
            for (mask, probabilities) in zip(low.masks, low.probabilities) {
                let padded = mask.pixels.indices.filter { $0 % mask.columns < 9 }
                #expect(padded.allSatisfy { mask.pixels[$0] == 0 && probabilities[$0] == 0 })
            }
        }

        @Test(arguments: names) func `progress is reported step by step, up to the last step`(name: String) throws {
            let segmenter = try make(name)
            var steps = [[Int]]()
            _ = try segmenter.segment(Inputs.make(for: segmenter.descriptor.accepts, Inputs.pattern)) {
                steps.append([$0, $1])
            }
            let total = try #require(steps.last?[1])
            #expect(steps == (1...total).map { [$0, total] })
        }

        @Test(arguments: builtIn, [Float(0), 128, -1000, 70_000, 1e30])
        func `a constant input has an answer without confidence`(name: String, value: Float) throws {
            let segmenter = try make(name)
            let input = Inputs.make(for: segmenter.descriptor.accepts) { _ in value }
            try expectDoubt(segmenter.segment(input) { _, _ in })
        }

        @Test(arguments: names) func `a prompt does not make the answer for a constant input sure`(name: String) throws
        {
            let segmenter = try make(name)
            let takesBox = try Segmenters.entry(name).options.contains(.box)
            let options = SegmenterOptions(box: takesBox ? Box(x0: 4, y0: 3, x1: 30, y1: 25) : nil)
            let input = Inputs.make(for: segmenter.descriptor.accepts) { _ in 90 }
            try expectDoubt(segmenter.segment(input, options: options, trace: nil) { _, _ in })
        }

        private func expectDoubt(_ result: SegmenterResult) {
            #expect(result.probabilities.joined().allSatisfy { $0.isFinite })
            #expect(result.confidence.value == 0 && result.frameConfidence.allSatisfy { $0.value == 0 })
            #expect(result.notes.count { $0.hasPrefix("nothing can be seen") } == 1)
        }

        @Test(arguments: names) func `one voxel that differs does not make a volume worth looking at`(
            name: String
        ) throws {
            let segmenter = try make(name)
            guard segmenter.descriptor.accepts == .volume else { return }
            let input = Inputs.make(for: .volume) { $0 == 7 ? 900 : 90 }
            try expectDoubt(segmenter.segment(input) { _, _ in })
        }

        @Test(arguments: builtIn, [Float.nan, .infinity, -.infinity])
        func `values that are not finite are refused with the reason`(name: String, value: Float) throws {
            let segmenter = try make(name)
            let input = Inputs.make(for: segmenter.descriptor.accepts) { $0 == 100 ? value : 1 }
            #expect { _ = try segmenter.segment(input) { _, _ in } } throws: { "\($0)".contains("not finite") }
        }

        @Test(arguments: builtIn, [[1, 1], [1, 4000], [4000, 1], [2, 3], [17, 16]])
        func `odd sizes have an answer`(name: String, size: [Int]) throws {
            let segmenter = try make(name)
            let input: SegmenterInput =
                switch segmenter.descriptor.accepts {
                case .frames:
                    .frames(
                        [1, 3].map { channels in
                            Inputs.frame(size[0], size[1], channels: channels) { Inputs.pattern($0 + $1) }
                        })
                case .volume: .volume(Inputs.volume(1 + size[0] % 3, size[0], size[1], Inputs.pattern))
                }
            // The atrium's segmenter refuses 4000 voxels of 2 mm, which are 8 m.
            do {
                let result = try segmenter.segment(input) { _, _ in }
                #expect(result.masks.map { [$0.rows, $0.columns] } == Inputs.sizes(input))
            } catch let error as SegmentationError {
                #expect(segmenter.descriptor.accepts == .volume && size.contains(4000), "\(error)")
            }
        }

        @Test(arguments: names) func `the other kind of input is refused`(name: String) throws {
            let segmenter = try make(name)
            let other: SegmenterDescriptor.Accepts = segmenter.descriptor.accepts == .frames ? .volume : .frames
            #expect { _ = try segmenter.segment(Inputs.make(for: other, Inputs.pattern)) { _, _ in } } throws: {
                "\($0)".hasPrefix("\(name) segments")
            }
        }
    }
}
