// SPDX-License-Identifier: Apache-2.0

import Imaging
import Segmentation
import Testing

extension SegmentationSuites {
    @Suite struct LeftAtriumTests {
        private func segment(_ voxels: [Float], _ shape: [Int], spacing: [Double]) throws -> SegmenterResult {
            let plane = PlaneGeometry(
                position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
                rowSpacing: spacing[1], columnSpacing: spacing[2])
            let volume = Volume(
                slices: shape[0], rows: shape[1], columns: shape[2], voxels: voxels, plane: plane,
                sliceSpacing: spacing[0])
            return try Segmenters.make("left-atrium-compact").segment(.volume(volume)) { _, _ in }
        }

        /// Segments noise in 24 slices of 40 x 40 pixels, whose size is given in mm.
        private func noise(pixel: Double) throws -> SegmenterResult {
            try segment(
                (0..<24 * 1600).map { Float($0 * 7919 % 1009) }, [24, 40, 40], spacing: [2.5, pixel, pixel])
        }

        @Test func `a field of view outside training is noted, and without an atrium its confidence is low`() throws {
            let large = try noise(pixel: 5.8)
            #expect(large.notes.contains { $0.contains("outside training: 232 mm") })
            #expect(large.notes.contains { $0.contains("nothing in the images looks like a left atrium") })
            #expect(large.confidence.value <= 0.25)
            #expect(try !noise(pixel: 5.5).notes.contains { $0.contains("outside training") })
        }

        @Test func `a phase map gets a confidence far below a review limit, and the atrium keeps its own`() throws {
            let (file, reference) = try Reference.open("left-atrium-compact")
            let input = try file.tensor("0.input")
            let spacing = try #require(reference.inputs[0].spacing)
            let atrium = try segment(input.values, input.shape, spacing: spacing)
            #expect(atrium.confidence.value > 0.8)
            // Waves inside the body, and any phase in the air around it, as a scanner computes it from noise.
            let dark = input.values.sorted()[input.values.count * 2 / 5]
            let phase = input.values.enumerated().map { index, value -> Float in
                let noise = Float(UInt32(truncatingIfNeeded: index) &* 2_654_435_761 >> 20)
                let column = Float(index % input.shape[2])
                return value > dark ? 2048 + 900 * (column / 30).truncatingRemainder(dividingBy: 1) + noise / 23 : noise
            }
            let other = try segment(phase, input.shape, spacing: spacing)
            #expect(other.confidence.value <= 0.25 || other.masks.allSatisfy { $0.isEmpty })
        }

        @Test(arguments: [0, 300] as [Float])
        func `nothing is found where all pixels have one value`(value: Float) throws {
            let result = try segment(
                [Float](repeating: value, count: 24 * 1600), [24, 40, 40], spacing: [2.5, 3, 3])
            #expect(result.masks.allSatisfy { $0.isEmpty })
            #expect(result.notes.contains { $0.contains("nothing can be seen") } && result.confidence.value == 0)
        }

        @Test(arguments: [(30, 250), (160, 90)])
        func `an atrium is found wherever it lies in a large field of view`(above: Int, left: Int) throws {
            let (file, reference) = try Reference.open("left-atrium-compact")
            let input = try file.tensor("0.input")
            let spacing = try #require(reference.inputs[0].spacing)
            let alone = try segment(input.values, input.shape, spacing: spacing)

            let (rows, columns) = (input.shape[1] + 200, input.shape[2] + 280)
            let shape = [input.shape[0], rows, columns]
            var voxels = [Float](repeating: 0, count: shape.reduce(1, *))
            for (index, value) in input.values.enumerated() {
                let (row, column) = (index / input.shape[2] % input.shape[1], index % input.shape[2])
                let slice = index / (input.shape[1] * input.shape[2])
                voxels[(slice * rows + above + row) * columns + left + column] = value
            }
            let padded = try segment(voxels, shape, spacing: spacing)

            var (both, one, other) = (0, 0, 0)
            for (slice, mask) in alone.masks.enumerated() {
                other += padded.masks[slice].pixels.count { $0 != 0 }
                for (index, value) in mask.pixels.enumerated() where value != 0 {
                    let (row, column) = (index / input.shape[2], index % input.shape[2])
                    one += 1
                    both += Int(padded.masks[slice].pixels[(above + row) * columns + left + column])
                }
            }
            let agreement = Double(2 * both) / Double(one + other)
            #expect(agreement > 0.95, "Dice \(agreement) of the answers in the small and the large field")
            #expect(abs(padded.confidence.value - alone.confidence.value) < 0.05)
        }
    }
}
