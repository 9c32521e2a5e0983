// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Routing
import Testing

@Suite struct StackSortingTests {
    private static func changed(
        _ slices: [InstanceHeader], _ change: (Int, inout InstanceHeader) -> Void
    ) -> [InstanceHeader] {
        slices.enumerated().map { index, slice in
            var slice = slice
            change(index, &slice)
            return slice
        }
    }

    /// Volumes of 9 slices at the same places.
    private static func volumes(
        _ count: Int, slices: Int = 9, _ change: (_ volume: Int, _ slice: Int, inout InstanceHeader) -> Void
    ) -> [InstanceHeader] {
        (0..<count * slices).map { index in
            var slice = StackTests.slice(index + 1, z: Double(index % slices) * 2.5)
            change(index / slices, index % slices, &slice)
            return slice
        }
    }

    private static func counts(_ headers: [InstanceHeader]) -> [Int] { Stack.stacks(of: headers).map(\.numberOfFrames) }

    @Test func `keys are those of earlier versions`() {
        #expect(Stack.stacks(of: StackTests.volume(3)).map(\.key) == ["64x48-6917f023ee33c9436a0e3bdc4d3306d2"])
        let others = Self.changed(StackTests.volume(3)) { _, slice in
            slice.echoNumbers = [1]
            slice.echoTime = 2.4
            slice.temporalPositionIdentifier = 2
            // New attributes do not change a key by themselves.
            slice.triggerTime = 210
            slice.inversionTime = 270
            slice.seriesNumber = 5
            slice.acquisitionNumber = 1
        }
        #expect(Stack.stacks(of: others).map(\.key) == ["64x48-46e0bf45572086b1859ff095afe91420"])
        #expect(Stack.stacks(of: [StackTests.frame(1)]).map(\.key) == ["480x640"])
    }

    @Test(arguments: [(0.9375, 0.93749994), (0.8, 0.8003), (1.25, 1.2499)])
    func `a pixel spacing that is written with rounding is one volume of one key`(_ one: Double, _ other: Double) {
        let slices = Self.changed(StackTests.volume(9)) { index, slice in
            slice.plane?.rowSpacing = index % 3 == 0 ? other : one
            slice.plane?.columnSpacing = index % 3 == 1 ? other : one
        }
        let stacks = Stack.stacks(of: slices)
        #expect(stacks.map(\.numberOfFrames) == [9] && stacks[0].split == nil)
        #expect(stacks[0].fit(for: StackTests.segmenter(.volume)) == .fit(sources: Array(0..<9), notes: []))
        #expect(Stack.stacks(of: Array(slices.dropFirst())).map(\.key) == stacks.map(\.key))
    }

    @Test func `a series that falls apart says by what`() {
        func split(_ change: (Int, inout InstanceHeader) -> Void) -> [String?] {
            Stack.stacks(of: Self.changed(StackTests.volume(26), change)).map(\.split)
        }
        #expect(
            split { if $0 >= 17 { $1.plane?.rowSpacing = 1.25 } }
                == [String?](repeating: "split in 2 by Pixel Spacing: 17 and 9", count: 2))
        #expect(split { if $0 < 3 { $1.rows = 32 } }[0] == "split in 2 by Rows and Columns: 3 and 23")
        #expect(split { if $0 == 7 { $1.plane = nil } }[0] == "split in 2 by Image Position (Patient): 25 and 1")
        #expect(
            split { if $0 >= 13 { $1.frameOfReferenceUID = nil } }[0]
                == "split in 2 by Frame of Reference UID: 13 and 13")
        #expect(
            split { (index, slice) in
                if index % 2 == 0 { slice.imageType = ["ORIGINAL", "PRIMARY", "P"] }
                // All that differs with Image Type is not named, too.
                slice.echoTime = index % 2 == 0 ? 2 : 4
            }[0] == "split in 2 by Image Type: 13 and 13")
        #expect(
            split { (index, slice) in
                if index % 2 == 0 { slice.imageType = ["ORIGINAL", "PRIMARY", "P"] }
                slice.echoTime = index < 10 ? 2 : 4
            }[0] == "split in 4 by Image Type and Echo Time: 5, 5, 8 and 8")
        #expect(split { _, _ in } == [nil])
        for problem in ["Pixel Spacing", "Image Position (Patient)"] {
            #expect(
                split {
                    guard $0 == 0 else { return }
                    ($1.plane, $1.planeProblem) = (nil, "\(problem) is not usable")
                }.contains("split in 2 by \(problem): 1 and 25"))
        }
        #expect(
            split { $1.imageType = ["T\($0)"] }[0]
                == "split in 26 by Image Type: 1, 1, 1, 1, 1, 1, 1, 1 and 18 more")
    }

    @Test func `the split reaches the plan, whatever its outcome`() throws {
        let slices = Self.changed(StackTests.volume(9)) { if $0 >= 5 { $1.plane?.rowSpacing = 1.25 } }
        let words = "the series is split in 2 by Pixel Spacing: 5 and 4"
        let stack = Stack.stacks(of: slices)[0]
        let fit = StackPlanner(targets: [try StackPlanTests.target("mr", "MR")], maximumInstances: 100).plan(stack)
        guard case .segment(let work) = fit.outcome else {
            Issue.record("the stack is fit")
            return
        }
        #expect(work.notes == [words])
        let holes = Self.changed(slices) { if $0 == 2 { $1.plane?.position.z = 40 } }
        let plan = StackPlanner(targets: [try StackPlanTests.target("mr", "MR")], maximumInstances: 100)
            .plan(Stack.stacks(of: holes)[0])
        guard case .unfit(let reason) = plan.outcome else {
            Issue.record("a volume with a hole was accepted")
            return
        }
        #expect(reason.hasPrefix("the volume is not even: ") && reason.hasSuffix("; \(words)"))
    }

    // MARK: Volumes at one place

    private static let phases: [(String, @Sendable (Int, Int, inout InstanceHeader) -> Void)] = [
        ("Trigger Time", { volume, _, slice in slice.triggerTime = [210, 640, 900][volume] }),
        (
            "Trigger Time",
            { volume, place, slice in slice.triggerTime = [210, 640, 900][volume] + 3.5 * Double(place) }
        ),
        (
            "Nominal Percentage of Cardiac Phase",
            { volume, _, slice in slice.cardiacPhasePercentage = [10, 45, 80][volume] }
        ),
        ("Inversion Time", { volume, _, slice in slice.inversionTime = [250, 300, 350][volume] }),
        ("Acquisition Number", { volume, _, slice in slice.acquisitionNumber = volume + 1 }),
        (
            "Acquisition Number",
            // Trigger times that only jitter say nothing.
            { volume, place, slice in
                slice.triggerTime = 600 + Double((7 * place + 3 * volume) % 11) * 0.1
                slice.acquisitionNumber = volume + 1
            }
        ),
    ]

    @Test(arguments: phases.indices, [2, 3])
    func `volumes at one place are told apart by their phase`(_ index: Int, _ count: Int) {
        let (name, change) = Self.phases[index]
        let slices = Self.volumes(count, change)
        let stacks = Stack.stacks(of: slices.reversed())
        #expect(stacks.map(\.numberOfFrames) == [Int](repeating: 9, count: count))
        #expect(stacks[0].split?.hasPrefix("split in \(count) by \(name): 9") == true)
        #expect(Set(stacks.map(\.key)).count == count)
        for (volume, stack) in stacks.enumerated() {
            #expect(stack.fit(for: StackTests.segmenter(.volume)) == .fit(sources: Array(0..<9), notes: []))
            #expect(stack.instances.map(\.instanceNumber) == (1...9).map { volume * 9 + $0 })
        }
        // The first volume has its key before the others have come.
        #expect(Stack.stacks(of: Array(slices.prefix(9))).map(\.key) == [stacks[0].key])
    }

    @Test func `a slice that one phase lacks is missing in that phase alone`() {
        var slices = Self.volumes(2) { volume, place, slice in
            slice.triggerTime = [210, 640][volume] + 3.5 * Double(place)
        }
        slices.remove(at: 4)
        let stacks = Stack.stacks(of: slices)
        #expect(stacks.map(\.numberOfFrames) == [8, 9])
        #expect(
            stacks[0].fit(for: StackTests.segmenter(.volume))
                == .unfit(reason: "the volume is not even: 1 slice is missing"))
        #expect(stacks[1].fit(for: StackTests.segmenter(.volume)) == .fit(sources: Array(0..<9), notes: []))
    }

    @Test func `what drifts within one volume does not part it`() {
        let slices = Self.changed(StackTests.volume(26)) { index, slice in
            slice.triggerTime = 600 + 3.5 * Double(index)
            slice.inversionTime = 250 + 5 * Double(index / 4)
            slice.acquisitionNumber = index + 1
            slice.cardiacPhasePercentage = index < 13 ? 40 : 41
        }
        #expect(Self.counts(slices) == [26])
        // One slice that was acquired again is doubled: nothing says which of the two is right.
        var again = StackTests.slice(99, z: 5)
        again.triggerTime = 900
        again.acquisitionNumber = 99
        #expect(
            Self.counts(
                slices.map {
                    var slice = $0; slice.inversionTime = nil; return slice
                } + [again]) == [27])
    }

    // MARK: Frames of reference

    @Test func `slices that each name another frame of reference are one stack with this fault`() {
        let slices = Self.changed(StackTests.volume(26)) { $1.frameOfReferenceUID = "1.2.9.\($0)" }
        let stacks = Stack.stacks(of: slices.reversed())
        #expect(stacks.map(\.numberOfFrames) == [26] && stacks[0].split == nil)
        #expect(
            stacks[0].fit(for: StackTests.segmenter(.volume))
                == .unfit(reason: "the segmenter needs a volume, but its 26 slices name 26 frames of reference"))
        #expect(Stack.stacks(of: Array(slices.dropFirst())).map(\.key) == stacks.map(\.key))
        let lost = Self.changed(slices) { $1.frameOfReferenceUID = $0 < 3 ? nil : "1.2.9.\($0)" }
        #expect(Self.counts(lost) == [26])
    }

    // MARK: Rounded positions

    @Test(arguments: [(0.625, 10.0), (1.25, 10), (0.6, 10), (2.5, 10), (0.7, 100)])
    func `positions that the sender rounded are one even volume`(_ step: Double, _ unit: Double) {
        let slices = (1...26).map { index in
            StackTests.slice(index, z: ((-31.3 + Double(index) * step) * unit).rounded() / unit)
        }
        let stack = Stack.stacks(of: slices)[0]
        #expect(stack.fit(for: StackTests.segmenter(.volume)) == .fit(sources: Array(0..<26), notes: []))
        #expect(stack.sliceSpacing.map { abs($0 - step) < 0.02 } == true)
        var holed = slices
        holed.remove(at: 11)
        #expect(
            Stack.stacks(of: holed)[0].fit(for: StackTests.segmenter(.volume))
                == .unfit(reason: "the volume is not even: 1 slice is missing"))
    }

    @Test(arguments: [2.5, 1.25, 0.625])
    func `whole millimetres are no even volume, and the reason says so`(_ step: Double) {
        let slices = (1...26).map { StackTests.slice($0, z: (-31.3 + Double($0) * step).rounded()) }
        guard case .unfit(let reason) = Stack.stacks(of: slices)[0].fit(for: StackTests.segmenter(.volume)) else {
            Issue.record("an uneven volume was accepted")
            return
        }
        #expect(reason.hasSuffix("; the positions are rounded to whole millimetres"))
    }
}

/// Stacks of frames of instances with functional groups.
@Suite struct FrameStackTests {
    /// An instance of an enhanced class with slices at these places.
    private static func enhanced(
        _ number: Int, _ places: [Double], _ change: (Int, inout FrameAttributes) -> Void = { _, _ in }
    ) -> InstanceHeader {
        var header = StackTests.slice(number, z: 0)
        header.sopClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
        header.plane = nil
        header.numberOfFrames = places.count
        header.frames = FrameTable(
            places.enumerated().map { index, z in
                var frame = FrameAttributes()
                frame.plane = StackTests.slice(1, z: z).plane
                frame.imageType = ["ORIGINAL", "PRIMARY", "PSIR", "NONE"]
                change(index, &frame)
                return frame
            })
        return header
    }

    private static let planner = try? StackPlanner(
        targets: [StackPlanTests.target("mr", "MR")], maximumInstances: 100)

    @Test func `the frames of one instance are a volume, in whatever order`() throws {
        let places = [7.5, 0, 5, 10, 2.5]
        let stack = try #require(Stack.stacks(of: [Self.enhanced(1, places)]).first)
        #expect(stack.instances.count == 1 && stack.frameNumbers == [nil] && stack.numberOfFrames == 5)
        #expect(stack.hasGeometry && stack.sliceSpacing == 2.5 && stack.split == nil)
        let facts = StackFacts(stack)
        #expect((facts.numberOfInstances, facts.numberOfFrames) == (1, 5))
        #expect(facts.imageType == ["ORIGINAL", "PRIMARY", "PSIR", "NONE"])
        let plan = try #require(Self.planner).plan(stack)
        guard case .segment(let work) = plan.outcome else {
            Issue.record("the frames make a volume")
            return
        }
        #expect(work.sources == [0] && work.frameNumbers == [nil])
    }

    @Test func `several stacks of one instance are parted by what their frames are`() {
        let header = Self.enhanced(1, [0, 0, 2.5, 2.5, 5, 5]) { index, frame in
            if index % 2 == 1 { frame.imageType = ["ORIGINAL", "PRIMARY", "M", "NONE", "PHASE"] }
        }
        let stacks = Stack.stacks(of: [header])
        #expect(stacks.map(\.frameNumbers) == [[[1, 3, 5]], [[2, 4, 6]]])
        #expect(stacks[0].split == "split in 2 by Image Type: 3 and 3")
        #expect(stacks.map { $0.label?.reconstruction } == [["PSIR"], ["M", "PHASE"]])
        #expect(Set(stacks.map(\.key)).count == 2)
        let other = Stack.stacks(of: [
            Self.enhanced(1, [0, 2.5, 5, 7.5, 0, 2.5, 5, 7.5]) { index, frame in
                frame.stackID = index < 4 ? "1" : "2"
                if index >= 4 { frame.plane?.position.x = 100 }
            }
        ])
        #expect(other.map(\.frameNumbers) == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]])
        #expect(other[0].split == "split in 2 by Stack ID: 4 and 4")
        let phases = Stack.stacks(of: [
            Self.enhanced(1, [0, 0, 2.5, 2.5, 5, 5]) { $1.triggerTime = $0 % 2 == 0 ? 210 : 640 }
        ])
        #expect(phases.map(\.frameNumbers) == [[[1, 3, 5]], [[2, 4, 6]]])
        #expect(phases[0].split == "split in 2 by Trigger Time: 3 and 3")
    }

    @Test func `frames of several instances are one volume`() {
        let headers = [Self.enhanced(1, [0, 5, 10]), Self.enhanced(2, [2.5, 7.5]), StackTests.slice(3, z: 12.5)]
        // The single frame has another Image Type.
        let stacks = Stack.stacks(of: headers.reversed())
        #expect(stacks.map(\.numberOfFrames) == [5, 1])
        #expect(stacks[0].instances.map(\.instanceNumber) == [1, 2] && stacks[0].frameNumbers == [nil, nil])
        #expect(
            stacks[0].fit(for: StackTests.segmenter(.volume)) == .fit(sources: [0, 1], notes: []))
    }

    @Test func `a hole between frames makes a volume unfit`() {
        let stack = Stack.stacks(of: [Self.enhanced(1, [0, 2.5, 7.5, 10])])[0]
        #expect(
            stack.fit(for: StackTests.segmenter(.volume))
                == .unfit(reason: "the volume is not even: 1 slice is missing"))
        #expect(stack.fit(for: StackTests.segmenter(.frames)) == .fit(sources: [0], notes: []))
    }
}

/// The labels by which the objects of stacks are told apart.
@Suite struct SeriesLabelTests {
    @Test func `a label has the source series and what tells the stack from its neighbours`() {
        func labels(_ number: Int?, _ change: (Int, inout InstanceHeader) -> Void = { _, _ in }) -> [SeriesLabel?] {
            let slices = StackTests.volume(6).enumerated().map { index, slice in
                var slice = slice
                slice.seriesNumber = number
                change(index, &slice)
                return slice
            }
            return Stack.stacks(of: slices).map(\.label)
        }
        #expect(labels(5) == [SeriesLabel(seriesNumber: 5, ordinal: 0, reconstruction: [])])
        #expect(
            labels(5) { if $0 % 2 == 1 { $1.imageType = ["DERIVED", "PRIMARY", "PSIR"] } } == [
                SeriesLabel(seriesNumber: 5, ordinal: 0, reconstruction: ["M"]),
                SeriesLabel(seriesNumber: 5, ordinal: 1, reconstruction: ["PSIR"]),
            ])
        #expect(labels(nil) == [SeriesLabel(seriesNumber: nil, ordinal: 0, reconstruction: ["M"])])
        #expect(labels(nil) { $1.imageType = [] } == [nil])
        #expect(Stack.stacks(of: [StackTests.frame(1)]).map(\.label) == [nil])
    }
}
