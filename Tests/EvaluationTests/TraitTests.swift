// SPDX-License-Identifier: Apache-2.0

import Evaluation
import Imaging
import Testing

@Suite struct TraitTests {
    /// An RGB frame with a bright square on dark ground, whose edge is spread over `blur` pixels,
    /// and its mask.
    static func square(inside: Float, outside: Float, blur: Int = 0) -> (Frame, Mask) {
        let (rows, columns) = (40, 40)
        var samples: [Float] = []
        var pixels: [UInt8] = []
        for row in 0..<rows {
            for column in 0..<columns {
                let distance = max(abs(row * 2 - 39), abs(column * 2 - 39)) / 2 - 9
                let share = blur == 0 ? (distance <= 0 ? 1 : 0) : min(max(0.5 - Float(distance) / Float(blur), 0), 1)
                samples += [Float](repeating: outside + (inside - outside) * share, count: 3)
                pixels.append(distance <= 0 ? 1 : 0)
            }
        }
        return (
            Frame(rows: rows, columns: columns, channels: 3, samples: samples),
            Mask(rows: rows, columns: columns, pixels: pixels)
        )
    }

    static func traits(_ pair: (Frame, Mask)) -> CaseTraits {
        CaseTraits(frames: [pair.0], truth: [pair.1], spacing: nil)
    }

    @Test func `contrast and size have the expected values`() throws {
        let traits = Self.traits(Self.square(inside: 204, outside: 51))
        #expect(abs(try #require(traits.contrast) - 0.6) < 1e-6)
        #expect(abs(try #require(traits.size) - 400.0 / 1600) < 1e-12)
        #expect(abs(traits.brightness - (0.8 * 0.25 + 0.2 * 0.75)) < 1e-6)
        #expect(traits.highlights == 0)
    }

    @Test func `a blurred edge is less sharp, and glare is seen`() throws {
        let sharp = try #require(Self.traits(Self.square(inside: 200, outside: 50)).boundarySharpness)
        let soft = try #require(Self.traits(Self.square(inside: 200, outside: 50, blur: 10)).boundarySharpness)
        #expect(sharp > 2 * soft && soft > 0)
        #expect(try #require(Self.traits(Self.square(inside: 250, outside: 50)).highlights) > 0.5)
    }

    @Test func `an empty truth has a brightness only, and the size of a volume is in ml`() throws {
        let (frame, mask) = Self.square(inside: 100, outside: 100)
        let empty = CaseTraits(frames: [frame], truth: [Mask(rows: 40, columns: 40)], spacing: nil)
        #expect(empty.size == nil && empty.contrast == nil && empty.boundarySharpness == nil)
        let grey = Frame(rows: 40, columns: 40, channels: 1, samples: (0..<1600).map(Float.init))
        let volume = CaseTraits(frames: [grey, grey], truth: [mask, mask], spacing: [2.5, 1, 1])
        #expect(volume.size == 2.0)
        #expect(volume.highlights == nil)
    }

    @Test func `splits into thirds from low to high`() throws {
        let values = (0..<9).map { Double(8 - $0) as Double? } + [nil]
        let dice = (0..<9).map { Double($0) / 10 } + [0.5]
        let split = try #require(
            TraitSplit(
                trait: "size", title: "size", values: values, dice: dice, acceptable: 0.25, resampling: Bootstrap()))
        #expect(split.parts.map(\.dice.count) == [3, 3, 3])
        #expect(split.parts[0].low == 0 && split.parts[2].high == 8)
        #expect(abs(split.parts[0].dice.mean - 0.7) < 1e-12 && abs(split.parts[2].dice.mean - 0.1) < 1e-12)
        #expect(split.parts[2].unacceptable == 1 && split.spearman == -1)
    }
}

@Suite struct PromptPlanTests {
    static let truth = Mask(
        rows: 20, columns: 30,
        pixels: (0..<600).map { (5..<9).contains($0 / 30) && (10..<20).contains($0 % 30) ? 1 : 0 })

    static func plan(_ prompt: PromptPlan) -> PromptPlan { prompt }

    @Test func `studies every enlargement and shift once`() {
        #expect(Set(PromptPlan.study).count == PromptPlan.enlargements.count * PromptPlan.shifts.count)
        #expect(PromptPlan.study.contains(.truthBox))
    }

    /// Masks of slices with these numbers of set pixels.
    static func slices(_ areas: [Int]) -> [Mask] {
        areas.map { area in Mask(rows: 4, columns: 4, pixels: (0..<16).map { $0 < area ? 1 : 0 }) }
    }

    @Test func `key slices lie at fractions of the structure, and have truth`() {
        let truth = Self.slices([0, 0, 1, 2, 3, 4, 9, 3, 0, 2, 1, 0])
        #expect(PromptPlan.onePlace.map { $0.keySlices(of: truth) } == [[4], [6], [7]])
        #expect(PromptPlan.severalPlaces.map { $0.keySlices(of: truth) } == [[4, 7], [3, 6, 9], [3, 4, 6, 7, 9]])
        #expect(PromptPlan.truthBox.keySlices(of: truth) == [6])
        #expect(PromptPlan.automatic.keySlices(of: truth).isEmpty)
    }

    @Test func `a short structure gets each slice once, and an absent one none`() {
        let several = PromptPlan.keyBoxes(places: [0, 0.4, 0.6, 1])
        #expect(several.keySlices(of: Self.slices([0, 5, 0])) == [1])
        #expect(several.keySlices(of: Self.slices([0, 0])).isEmpty)
    }
}
