// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Testing

@Suite struct VolumeAssemblyTests {
    /// Planes of an oblique stack at these places along the normal, mm.
    private func planes(_ along: [Double], tilt: Double = 0, sideways: Double = 0) -> [PlaneGeometry] {
        let row = Vector3(0.8, 0.6, 0)
        let column = Vector3(0, 0, -1)
        let normal = row.cross(column)
        return along.enumerated().map { index, distance in
            PlaneGeometry(
                position: Vector3(10, -20, 30) + normal * distance + row * (sideways * Double(index)),
                rowDirection: row, columnDirection: column, rowSpacing: 0.5 + tilt * Double(index), columnSpacing: 0.5)
        }
    }

    private func frames(_ count: Int) -> [Frame] {
        (0..<count).map { Frame(rows: 2, columns: 2, channels: 1, samples: [Float](repeating: Float($0), count: 4)) }
    }

    @Test func `orders slices by position along the normal`() throws {
        let assembly = try VolumeAssembly(frames: frames(4), planes: planes([7.5, 0, 5, 2.5]))
        #expect(assembly.order.indices == [1, 3, 2, 0])
        #expect(abs(assembly.volume.sliceSpacing - 2.5) < 1e-9)
        #expect(stride(from: 0, to: 16, by: 4).map { assembly.volume.voxels[$0] } == [1, 3, 2, 0])
        #expect(assembly.volume.plane.position == Vector3(10, -20, 30))
    }

    @Test func `rejects a series with a missing slice`() throws {
        let planes = planes([0, 2, 4, 8, 10])
        #expect(throws: GeometryError.missingSlices(count: 1)) {
            try VolumeAssembly(frames: frames(5), planes: planes)
        }
        let marked = try VolumeAssembly(frames: frames(5), planes: planes, gaps: .mark)
        #expect(marked.order.gaps.map { [$0.after, $0.missing] } == [[2, 1]])
        #expect(marked.volume.slices == 5)
    }

    @Test func `rejects doubled positions`() throws {
        #expect(throws: GeometryError.duplicatedPosition(count: 1)) {
            try VolumeAssembly(frames: frames(4), planes: planes([0, 2, 2.001, 4]))
        }
        #expect(throws: GeometryError.duplicatedPosition(count: 2)) {
            try VolumeAssembly(frames: frames(3), planes: planes([1, 1, 1]), gaps: .mark)
        }
    }

    @Test func `rejects uneven spacing and tolerates rounding`() throws {
        #expect(throws: GeometryError.self) { try VolumeAssembly(frames: frames(4), planes: planes([0, 2, 4, 6.6])) }
        #expect(throws: Never.self) { try VolumeAssembly(frames: frames(4), planes: planes([0, 2.004, 4, 5.998])) }
    }

    @Test func `rejects planes that are not a stack`() throws {
        #expect(throws: GeometryError.tooFewSlices(1)) { try VolumeAssembly(frames: frames(1), planes: planes([0])) }
        #expect(throws: GeometryError.differentSpacing) {
            try VolumeAssembly(frames: frames(3), planes: planes([0, 1, 2], tilt: 0.1))
        }
        #expect(throws: GeometryError.self) {
            try VolumeAssembly(frames: frames(3), planes: planes([0, 1, 2], sideways: 1))
        }
        var turned = planes([0, 1, 2])
        turned[1].rowDirection = Vector3(1, 0, 0)
        #expect(throws: GeometryError.differentOrientation) { try VolumeAssembly(frames: frames(3), planes: turned) }
        let wide = [Frame(rows: 2, columns: 3, channels: 1, samples: [Float](repeating: 0, count: 6))] + frames(2)
        #expect(throws: GeometryError.differentSize) { try VolumeAssembly(frames: wide, planes: planes([0, 1, 2])) }
    }
}
