// SPDX-License-Identifier: Apache-2.0

import Imaging
import Segmentation
import Testing

extension SegmentationSuites {
    @Suite struct LeftAtriumTests {
        /// Noise, 24 slices of 40 x 40 pixels of the size given, mm.
        private func notes(pixel: Double) throws -> [String] {
            let plane = PlaneGeometry(
                position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
                rowSpacing: pixel, columnSpacing: pixel)
            let volume = Volume(
                slices: 24, rows: 40, columns: 40, voxels: (0..<24 * 1600).map { Float($0 * 7919 % 1009) },
                plane: plane,
                sliceSpacing: 2.5)
            return try Segmenters.make("left-atrium-compact").segment(.volume(volume)) { _, _ in }.notes
        }

        @Test func `a field of view that training never saw is noted`() throws {
            #expect(try notes(pixel: 5.8).contains { $0.contains("outside training: 232 mm") })
            #expect(try !notes(pixel: 5.5).contains { $0.contains("outside training") })
        }
    }
}
