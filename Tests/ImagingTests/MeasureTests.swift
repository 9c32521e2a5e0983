// SPDX-License-Identifier: Apache-2.0

import Imaging
import Testing

@Suite struct ConnectedComponentsTests {
    /// The same by flood fill with a stack, the plain version.
    static func largestByFlooding(_ values: [UInt8], _ slices: Int, _ rows: Int, _ columns: Int) -> ([UInt8], Int) {
        var labels = [Int](repeating: 0, count: values.count)
        var sizes = [0]
        for start in values.indices where values[start] != 0 && labels[start] == 0 {
            var (stack, size) = ([start], 0)
            labels[start] = sizes.count
            while let index = stack.popLast() {
                size += 1
                let (z, y, x) = (index / rows / columns, index / columns % rows, index % columns)
                for a in max(z - 1, 0)...min(z + 1, slices - 1) {
                    for b in max(y - 1, 0)...min(y + 1, rows - 1) {
                        for c in max(x - 1, 0)...min(x + 1, columns - 1) {
                            let other = (a * rows + b) * columns + c
                            if values[other] != 0, labels[other] == 0 {
                                labels[other] = sizes.count
                                stack.append(other)
                            }
                        }
                    }
                }
            }
            sizes.append(size)
        }
        let largest = sizes.indices.dropFirst().first { sizes[$0] == sizes.max() } ?? 0
        return (labels.map { $0 == largest && $0 > 0 ? 1 : 0 }, sizes.count - 1)
    }

    @Test func `every plane of 3 x 4 pixels is answered as by flooding`() {
        for bits in 0..<(1 << 12) {
            let values = (0..<12).map { UInt8(bits >> $0 & 1) }
            var found = values
            let count = ConnectedComponents.keepLargest(&found, slices: 1, rows: 3, columns: 4)
            let (expected, expectedCount) = Self.largestByFlooding(values, 1, 3, 4)
            #expect(found == expected && count == expectedCount, "\(values)")
        }
    }

    @Test(arguments: 0..<40) func `volumes of noise are answered as by flooding`(seed: Int) {
        var state = UInt64(seed) &* 7919 &+ 1
        let density = UInt64(5 + seed % 4 * 12)
        let values = (0..<6 * 7 * 9).map { _ -> UInt8 in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % 100 < density ? 1 : 0
        }
        var found = values
        let count = ConnectedComponents.keepLargest(&found, slices: 6, rows: 7, columns: 9)
        let (expected, expectedCount) = Self.largestByFlooding(values, 6, 7, 9)
        #expect(found == expected && count == expectedCount)
    }

    @Test(arguments: 0..<20) func `components that reach into chosen slices are kept`(seed: Int) {
        var state = UInt64(seed) &* 7919 &+ 5
        let values = (0..<6 * 7 * 9).map { _ -> UInt8 in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % 100 < 12 ? 1 : 0
        }
        // Components are taken away one by one, as flooding finds them.
        var (rest, expected, found, kept) = (values, [UInt8](repeating: 0, count: values.count), 0, 0)
        while rest.contains(1) {
            let (component, _) = Self.largestByFlooding(rest, 6, 7, 9)
            let reaches = component[2 * 63..<3 * 63].contains(1) || component[(5 * 63)...].contains(1)
            for index in rest.indices where component[index] == 1 {
                rest[index] = 0
                if reaches { expected[index] = 1 }
            }
            found += 1
            if reaches { kept += 1 }
        }
        var changed = values
        let counts = ConnectedComponents.keep(
            touching: [5, 2], in: &changed, slices: 6, rows: 7, columns: 9, across: 2
        ) { _ in false }
        #expect(changed == expected && counts.found == found && counts.kept == kept)
        // If no component reaches into the slices, the largest one is kept.
        var largest = values.enumerated().map { $0.offset < 63 ? 0 : $0.element }
        let (component, _) = Self.largestByFlooding(largest, 6, 7, 9)
        let one = ConnectedComponents.keep(
            touching: [0], in: &largest, slices: 6, rows: 7, columns: 9, across: 0
        ) { _ in true }
        #expect(largest == component && one.kept == 1)
    }

    @Test func `a component behind a gap continues the kept one if it is sure and has a place in common`() {
        // Eight slices of 4 x 4: the structure in slices 0 and 1 and, behind a gap, 3 to 5, and a speck in slice 3.
        var values = [UInt8](repeating: 0, count: 8 * 16)
        for slice in 0..<2 { for pixel in [0, 1, 4, 5] { values[slice * 16 + pixel] = 1 } }
        for slice in 3..<6 { for pixel in [0, 4] { values[slice * 16 + pixel] = 1 } }
        var whole = values
        values[3 * 16 + 15] = 1
        func kept(_ values: [UInt8], gap: Int, sure: Int) -> (mask: [UInt8], first: Range<Int>) {
            var mask = values
            let kept = ConnectedComponents.keep(
                touching: [], in: &mask, slices: 8, rows: 4, columns: 4, across: gap
            ) { $0 == sure }
            return (mask, kept.first)
        }
        let found = kept(values, gap: 1, sure: 4)
        #expect(found.mask == whole && found.first == 0..<2)
        for index in 3 * 16..<6 * 16 { whole[index] = 0 }
        #expect(kept(values, gap: 0, sure: 4).mask == whole && kept(values, gap: 1, sure: 7).mask == whole)
        #expect(kept([UInt8](repeating: 0, count: 128), gap: 1, sure: 4).mask.allSatisfy { $0 == 0 })
        values[2 * 16 + 12] = 1  // a slice with something else is no gap
        #expect(kept(values, gap: 1, sure: 4).mask == whole)
    }

    @Test func `a million runs in one component are joined without recursion`() {
        var values = [UInt8](repeating: 0, count: 1000 * 2001)
        for index in values.indices where index % 2001 % 2 == 0 || index / 2001 == 0 { values[index] = 1 }
        let before = values
        #expect(ConnectedComponents.keepLargest(&values, slices: 1, rows: 1000, columns: 2001) == 1)
        #expect(values == before)
    }
}

@Suite struct DiceTests {
    @Test func `two empty masks agree, one empty mask does not`() {
        #expect(Dice.score(Mask(rows: 2, columns: 2), Mask(rows: 2, columns: 2)) == 1)
        #expect(Dice.score([0, 0, 1], [0, 0, 0]) == 0)
        #expect(Dice.score([1, 1, 0, 0], [1, 0, 1, 0]) == 0.5)
        #expect(
            Dice.score([Mask(rows: 1, columns: 2, pixels: [1, 0])], [Mask(rows: 1, columns: 2, pixels: [1, 0])]) == 1)
    }

    @Test func `a mask holds the pixels at or above the threshold`() {
        let mask = Mask(rows: 1, columns: 4, probabilities: [0.4, 0.5, 0.6, .nan])
        #expect(mask.pixels == [0, 1, 1, 0] && mask.area == 2)
    }
}
