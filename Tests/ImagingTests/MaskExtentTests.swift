// SPDX-License-Identifier: Apache-2.0

import Imaging
import Testing
import TestSupport

@Suite struct MaskExtentTests {
    private static func mask(_ bits: Int, rows: Int, columns: Int) -> Mask {
        Mask(rows: rows, columns: columns, pixels: (0..<rows * columns).map { UInt8(bits >> $0 & 1) })
    }

    /// The longest distance over all pairs of set pixels, the plain version.
    private static func longest(_ mask: Mask, _ rowSpacing: Double, _ columnSpacing: Double) -> Double {
        let set = mask.pixels.indices.filter { mask.pixels[$0] != 0 }
        var longest = 0.0
        for a in set {
            for b in set {
                let y = Double(a / mask.columns - b / mask.columns) * rowSpacing
                let x = Double(a % mask.columns - b % mask.columns) * columnSpacing
                longest = max(longest, (x * x + y * y).squareRoot())
            }
        }
        return longest
    }

    @Test func `every mask of 3 x 4 pixels has the area, box and diameter of the plain version`() {
        #expect(MaskExtent(Self.mask(0, rows: 3, columns: 4)) == nil)
        for bits in 1..<(1 << 12) {
            let mask = Self.mask(bits, rows: 3, columns: 4)
            guard let extent = MaskExtent(mask) else {
                Issue.record("\(bits) has no extent")
                continue
            }
            let set = mask.pixels.indices.filter { mask.pixels[$0] != 0 }
            #expect(extent.area == set.count)
            #expect(extent.box.x0 == Double(set.map { $0 % 4 }.min() ?? 0))
            #expect(extent.box.x1 == Double((set.map { $0 % 4 }.max() ?? 0) + 1))
            #expect(extent.box.y0 == Double(set[0] / 4) && extent.box.y1 == Double(set[set.count - 1] / 4 + 1))
            for spacing in [(1.0, 1.0), (0.5, 3.0)] {
                let found = extent.longestDiameter(rowSpacing: spacing.0, columnSpacing: spacing.1)
                #expect(abs(found - Self.longest(mask, spacing.0, spacing.1)) < 1e-9, "\(bits)")
            }
        }
    }

    @Test func `the longest distance in a volume is that of the plain version, also in oblique planes`() {
        var random = SplitMix64(seed: 7)
        for _ in 0..<20 {
            var planes: [(extent: MaskExtent, plane: PlaneGeometry)] = []
            var points: [Vector3] = []
            for slice in 0..<6 {
                let mask = Mask(
                    rows: 9, columns: 7,
                    pixels: (0..<63).map { _ in Int.random(in: 0..<8, using: &random) == 0 ? 1 : 0 })
                let plane = PlaneGeometry(
                    position: Vector3(-20 - 1.8 * Double(slice), 4, 2.4 * Double(slice)),
                    rowDirection: Vector3(0.8, 0, 0.6), columnDirection: Vector3(0, 1, 0), rowSpacing: 0.75,
                    columnSpacing: 0.5)
                guard let extent = MaskExtent(mask) else { continue }
                planes.append((extent, plane))
                for index in mask.pixels.indices where mask.pixels[index] != 0 {
                    points.append(
                        plane.position + plane.rowDirection * (Double(index % 7) * 0.5)
                            + plane.columnDirection * (Double(index / 7) * 0.75))
                }
            }
            let longest = points.flatMap { a in points.map { (a - $0).length } }.max() ?? 0
            #expect(abs(VolumeExtent.longestDiameter(of: planes) - longest) < 1e-9)
        }
    }
}
