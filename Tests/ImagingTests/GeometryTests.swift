// SPDX-License-Identifier: Apache-2.0

import Imaging
import Testing

@Suite struct Vector3Tests {
    @Test func `the cross product of x and y is z`() {
        #expect(Vector3(1, 0, 0).cross(Vector3(0, 1, 0)) == Vector3(0, 0, 1))
    }
}

@Suite struct CanonicalOrientationTests {
    /// A volume of 2 x 3 x 4 voxels numbered in order, spacings 5 (slices), 2 (rows), 3 (columns).
    static func volume(row: Vector3, column: Vector3) -> Volume {
        let plane = PlaneGeometry(
            position: Vector3(0, 0, 0), rowDirection: row, columnDirection: column, rowSpacing: 2, columnSpacing: 3)
        return Volume(
            slices: 2, rows: 3, columns: 4, voxels: (0..<24).map(Float.init), plane: plane, sliceSpacing: 5)
    }

    static let axes = [
        Vector3(1, 0, 0), Vector3(-1, 0, 0), Vector3(0, 1, 0), Vector3(0, -1, 0), Vector3(0, 0, 1), Vector3(0, 0, -1),
    ]

    /// All 24 right-angled orientations.
    static var pairs: [(row: Vector3, column: Vector3)] {
        axes.flatMap { row in axes.filter { $0.dot(row) == 0 }.map { (row, $0) } }
    }

    @Test func `in every right-angled orientation a step along a canonical axis is a step in the patient`() {
        #expect(Self.pairs.count == 24)
        for (row, column) in Self.pairs {
            let volume = Self.volume(row: row, column: column)
            let orientation = CanonicalOrientation(of: volume)
            let turned = orientation.canonical(volume.voxels)
            let directions = [volume.plane.normal, column, row]
            let strides: [Double] = [12, 4, 1]
            let (shape, targets) = (orientation.shape, [Vector3(0, 0, 1), Vector3(0, 1, 0), Vector3(1, 0, 0)])
            for axis in 0..<3 {
                let step = [shape[1] * shape[2], shape[2], 1][axis]
                let difference = Double(turned[step] - turned[0])
                // The source axis that lies along this patient axis, and its sign.
                let expected = zip(directions, strides).reduce(0.0) { $0 + $1.0.dot(targets[axis]) * $1.1 }
                #expect(difference == expected, "row \(row) column \(column) axis \(axis)")
            }
            #expect(orientation.source(turned) == volume.voxels)
            let bytes = turned.map { UInt8($0) }
            #expect(orientation.source(bytes) == (0..<24).map { UInt8($0) })
        }
    }

    @Test func `spacings follow their axes`() {
        // Coronal: columns to the left, rows to the feet, slices to anterior or posterior.
        let coronal = CanonicalOrientation(of: Self.volume(row: Vector3(1, 0, 0), column: Vector3(0, 0, -1)))
        #expect(coronal.spacing == [2, 5, 3])
        #expect(coronal.shape == [3, 2, 4])
    }

    @Test func `an axial volume is left as it is`() {
        let axial = CanonicalOrientation(of: Self.volume(row: Vector3(1, 0, 0), column: Vector3(0, 1, 0)))
        #expect(axial.isIdentity && axial.axes == [0, 1, 2])
    }

    @Test func `an oblique volume takes the nearest axes, each once`() {
        // Turned by 40 degrees about x: rows run mostly to posterior, partly to the feet.
        let (c, s) = (0.766, 0.643)
        let oblique = CanonicalOrientation(of: Self.volume(row: Vector3(1, 0, 0), column: Vector3(0, c, -s)))
        #expect(oblique.isIdentity)
        // By 50 degrees: rows are nearer to the feet.
        let steep = CanonicalOrientation(of: Self.volume(row: Vector3(1, 0, 0), column: Vector3(0, s, -c)))
        #expect(steep.axes == [1, 0, 2] && steep.flipped == [true, false, false])
    }
}
