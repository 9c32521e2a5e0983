// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Routing
import Testing

@Suite struct StackTests {
    static let axial = PlaneGeometry(
        position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0), rowSpacing: 0.8,
        columnSpacing: 0.8)

    /// A slice of an MR series at `z` mm.
    static func slice(_ number: Int, z: Double, series: String = "1.2.1", tilt: Double = 0) -> InstanceHeader {
        var header = InstanceHeader(
            sopClassUID: "1.2.840.10008.5.1.4.1.1.4", sopInstanceUID: "1.2.1.\(number)",
            transferSyntaxUID: "1.2.840.10008.1.2.1",
            studyInstanceUID: "1.2", seriesInstanceUID: series)
        header.rows = 64
        header.columns = 48
        header.modality = "MR"
        header.instanceNumber = number
        header.frameOfReferenceUID = "1.2.9"
        header.imageType = ["ORIGINAL", "PRIMARY", "M"]
        var plane = axial
        plane.position = Vector3(0, 0, z)
        plane.rowDirection = Vector3((1 - tilt * tilt).squareRoot(), 0, tilt)
        header.plane = plane
        return header
    }

    static func volume(_ count: Int) -> [InstanceHeader] { (1...count).map { slice($0, z: Double($0) * 2.5) } }

    /// A frame of an endoscopy without geometry.
    static func frame(_ number: Int, rows: Int = 480) -> InstanceHeader {
        var header = InstanceHeader(
            sopClassUID: "1.2.840.10008.5.1.4.1.1.77.1.1", sopInstanceUID: "1.3.1.\(number)",
            transferSyntaxUID: "1.2.840.10008.1.2.4.50", studyInstanceUID: "1.3", seriesInstanceUID: "1.3.1")
        header.rows = rows
        header.columns = 640
        header.modality = "ES"
        header.samplesPerPixel = 3
        header.instanceNumber = number
        return header
    }

    static func segmenter(_ accepts: SegmenterDescriptor.Accepts) -> SegmenterDescriptor {
        SegmenterDescriptor(
            name: "test", version: "1", accepts: accepts, weightsHash: "", segmentLabel: "test",
            category: CodedConcept("123037004", "SCT", "Anatomical Structure"),
            type: CodedConcept("82471001", "SCT", "Left atrium"), anatomicRegion: nil,
            recommendedDisplayColor: DisplayColor(red: 1, green: 2, blue: 3), title: "", paper: "", licence: "")
    }

    @Test func `an even series is one stack, ordered along its normal whatever its order of arrival`() throws {
        var slices = Self.volume(9)
        // Instance Number runs the other way, and is not trusted.
        for index in slices.indices { slices[index].instanceNumber = 100 - index }
        let expected = slices.map(\.sopInstanceUID)
        for rotation in 0..<9 {
            let stack = try #require(Stack.stacks(of: Array(slices[rotation...] + slices[..<rotation])).first)
            #expect(stack.instances.map(\.sopInstanceUID) == expected)
            #expect(stack.sliceSpacing == 2.5)
            #expect(stack.fit(for: Self.segmenter(.volume)) == .fit(sources: Array(0..<9), notes: []))
        }
    }

    @Test(
        arguments: [
            { (header: inout InstanceHeader) in header.rows = 32 },
            { $0.plane?.rowDirection = Vector3(0, 0, -1) },
            { $0.frameOfReferenceUID = "1.2.8" },
            { $0.imageType = ["ORIGINAL", "PRIMARY", "P"] },
            { $0.echoNumbers = [2] },
            { $0.echoTime = 4.6 },
            { $0.temporalPositionIdentifier = 2 },
            { $0.plane = nil },
        ] as [@Sendable (inout InstanceHeader) -> Void])
    func `what differs in kind is another stack`(_ change: @Sendable (inout InstanceHeader) -> Void) {
        var slices = Self.volume(6)
        for index in 3..<6 { change(&slices[index]) }
        let stacks = Stack.stacks(of: slices)
        #expect(stacks.map(\.instances.count) == [3, 3])
        #expect(Set(stacks.map(\.key)).count == 2)
    }

    @Test func `directions written with rounding are one orientation`() {
        var slices = Self.volume(4)
        slices[2].plane?.rowDirection = Vector3(0.9999998, 0.0001, 0)
        #expect(Stack.stacks(of: slices).count == 1)
    }

    @Test(arguments: [1.495, 2.0, 80.0])
    func `echo times written with jitter are one stack of one key`(_ time: Double) {
        var slices = Self.volume(6)
        for index in slices.indices { slices[index].echoTime = time + (index % 2 == 0 ? -0.0001 : 0.0001) }
        let stacks = Stack.stacks(of: slices)
        #expect(stacks.map(\.instances.count) == [6])
        #expect(Stack.stacks(of: Array(slices.dropFirst())).map(\.key) == stacks.map(\.key))
    }

    @Test(arguments: [(2.0, 4.0), (1.15, 1.3), (80.0, 82.0)])
    func `two echo times are two stacks`(_ first: Double, _ second: Double) {
        var slices = Self.volume(6)
        for index in slices.indices { slices[index].echoTime = index % 2 == 0 ? first : second }
        let stacks = Stack.stacks(of: slices)
        #expect(stacks.map(\.instances.count) == [3, 3])
        #expect(Set(stacks.map(\.key)).count == 2)
        // The other echo leaves the key of the first as it is.
        let alone = Stack.stacks(of: slices.filter { $0.echoTime == second })
        #expect(alone.map(\.key) == [stacks[1].key])
    }

    @Test func `frames without geometry are parted by size alone`() {
        var frames = (1...4).map { Self.frame($0) } + [Self.frame(5, rows: 576)]
        frames[1].imageType = ["DERIVED"]
        let stacks = Stack.stacks(of: frames.reversed())
        #expect(stacks.map(\.instances.count) == [4, 1])
        #expect(stacks[0].instances.map(\.instanceNumber) == [1, 2, 3, 4])
        #expect(stacks[0].sliceSpacing == nil)
    }

    @Test func `what is no image, and what is our own, belongs to no stack`() {
        var report = Self.slice(1, z: 0)
        report.kind = .notAnImage(reason: "a structured report")
        var own = Self.slice(2, z: 1)
        own.namesKontur = true
        #expect(Stack.stacks(of: [report, own]).isEmpty)
        #expect(Stack.stacks(of: []).isEmpty)
    }

    @Test func `two series are two stacks`() {
        let other = (1...3).map { Self.slice($0 + 20, z: Double($0), series: "1.2.2") }
        #expect(Stack.stacks(of: Self.volume(3) + other).map(\.seriesInstanceUID) == ["1.2.1", "1.2.2"])
    }

    @Test func `the key outlives a late instance and differs from its neighbours'`() {
        let slices = Self.volume(9)
        let early = Stack.stacks(of: Array(slices[2..<7]))
        let late = Stack.stacks(of: slices.reversed())
        #expect(early.map(\.key) == late.map(\.key))
        #expect(early[0].key.utf8.count <= 64)
        let tilted = slices + (1...3).map { Self.slice($0 + 50, z: Double($0), tilt: 0.01) }
        let keys = Stack.stacks(of: tilted).map(\.key)
        #expect(keys.count == 2 && Set(keys).count == 2)
    }

    /// Headers that a key without lengths would mistake for each other.
    private static let lookAlikes: [@Sendable (inout InstanceHeader) -> Void] = [
        { $0.imageType = ["A", "B"] },
        { $0.imageType = ["A\u{0}B"] },
        { $0.imageType = ["A\\B"] },
        { $0.imageType = ["A", "", "B"] },
        { $0.imageType = ["A/B"] },
        { $0.imageType = ["", "A", "B"] },
        { $0.imageType = ["A", "B", "/"] },
        { $0.imageType = ["A", "B", "/", "1"] },
        { ($0.imageType, $0.echoNumbers) = (["A", "B"], [1]) },
        { ($0.imageType, $0.echoNumbers) = (["A", "B"], [1, 1]) },
        { ($0.imageType, $0.echoNumbers) = (["A", "B"], [11]) },
        { ($0.imageType, $0.temporalPositionIdentifier) = (["A", "B"], 1) },
        { ($0.imageType, $0.echoTime) = (["A", "B"], 0.1) },
        { ($0.frameOfReferenceUID, $0.imageType) = ("1.2.9\u{0}A", ["B"]) },
        { ($0.frameOfReferenceUID, $0.imageType) = (nil, ["1.2.9", "A", "B"]) },
        { ($0.frameOfReferenceUID, $0.imageType) = ("", ["1.2.9", "A", "B"]) },
        { ($0.frameOfReferenceUID, $0.imageType) = ("A", ["B"]) },
        { $0.imageType = ["A", "B", "1"] },
        { $0.imageType = [] },
        { $0.imageType = [""] },
        { $0.imageType = ["\u{0}"] },
    ]

    @Test func `stacks of different traits have different keys, whatever a file holds`() {
        let slices = Self.lookAlikes.enumerated().map { number, change in
            var slice = Self.slice(number + 1, z: Double(number))
            change(&slice)
            return slice
        }
        let stacks = Stack.stacks(of: slices)
        #expect(stacks.count == slices.count)
        #expect(Set(stacks.map(\.key)).count == slices.count)
        #expect(stacks.allSatisfy { $0.key.utf8.count <= 64 })
    }

    @Test func `any texts in Image Type give as many keys as stacks`() {
        var generator = SystemRandomNumberGenerator()
        let letters = ["A", "B", "\u{0}", "\\", "/", "", "1", "\u{e9}"]
        let slices = (1...400).map { number in
            var slice = Self.slice(number, z: Double(number))
            slice.imageType = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                    letters[Int.random(in: 0..<letters.count, using: &generator)]
                }.joined()
            }
            slice.echoNumbers = Bool.random(using: &generator) ? [] : [1]
            return slice
        }
        let keys = Stack.stacks(of: slices).map(\.key)
        #expect(Set(keys).count == keys.count)
    }

    @Test func `a missing slice makes a volume unfit, unless gaps are marked`() {
        var slices = Self.volume(9)
        slices.remove(at: 4)
        let stack = Stack.stacks(of: slices)[0]
        #expect(
            stack.fit(for: Self.segmenter(.volume)) == .unfit(reason: "the volume is not even: 1 slice is missing"))
        #expect(
            stack.fit(for: Self.segmenter(.volume), gaps: .mark)
                == .fit(
                    sources: Array(0..<8), notes: ["segmented although the volume is not even: 1 slice is missing"]))
    }

    @Test func `a doubled position makes a volume unfit, unless gaps are marked`() {
        let stack = Stack.stacks(of: Self.volume(9) + [Self.slice(20, z: 5)])[0]
        guard case .unfit(let reason) = stack.fit(for: Self.segmenter(.volume)) else {
            Issue.record("a doubled position was accepted")
            return
        }
        #expect(reason == "the volume is not even: 1 slice has the position of another slice")
        guard case .fit(let sources, let notes) = stack.fit(for: Self.segmenter(.volume), gaps: .mark) else {
            Issue.record("a doubled position was not marked")
            return
        }
        #expect(sources.count == 10)
        #expect(notes.count == 1)
    }

    @Test func `a segmenter of volumes refuses what makes none, and says why`() {
        func reason(_ headers: [InstanceHeader]) -> String? {
            guard case .unfit(let reason) = Stack.stacks(of: headers)[0].fit(for: Self.segmenter(.volume)) else {
                return nil
            }
            return reason
        }
        func changed(_ change: (inout InstanceHeader) -> Void) -> [InstanceHeader] {
            Self.volume(5).map { header in
                var header = header
                change(&header)
                return header
            }
        }
        #expect(
            reason([Self.frame(1)])
                == "the segmenter needs a volume, but the images have no usable geometry: no position and orientation")
        #expect(
            reason(Self.volume(1))
                == "the images do not make a volume: a volume needs at least two slices; the stack has 1")
        #expect(
            reason(changed { $0.plane?.position = Vector3(0, 0, 7) })
                == "the images do not make a volume: all slices lie at one position")
        #expect(
            reason(changed { $0.samplesPerPixel = 3 })
                == "the segmenter needs a grey volume, but an image has 3 samples per pixel")
        #expect(
            reason(changed { $0.frameOfReferenceUID = nil })
                == "the segmenter needs a volume, but an image lacks a frame of reference")
        #expect(
            reason(changed { $0.numberOfFrames = 12 })
                == "the segmenter needs a volume, but the frames of an image do not have positions of their own")
        #expect(
            reason(changed { $0.sopClassUID = "1.2.840.10008.5.1.4.1.1.4.3" })
                == "images of SOP class Enhanced MR Color Image Storage (1.2.840.10008.5.1.4.1.1.4.3) are not supported"
        )
    }

    @Test func `a segmenter of frames takes every stack of images`() {
        for headers in [[Self.frame(1)], Self.volume(5), [Self.slice(1, z: 0), Self.slice(2, z: 0)]] {
            let stack = Stack.stacks(of: headers)[0]
            #expect(stack.fit(for: Self.segmenter(.frames)) == .fit(sources: Array(headers.indices), notes: []))
        }
    }

    @Test func `facts take the first value that says something`() {
        var slices = Self.volume(3)
        slices[0].seriesDescription = "  "
        slices[1].seriesDescription = "3D LGE"
        slices[2].manufacturer = "X"
        let facts = StackFacts(Stack.stacks(of: slices)[0], callingAETitles: ["B", "A", "B"])
        #expect(facts.seriesDescription == "3D LGE")
        #expect(facts.manufacturer == "X")
        #expect(facts.callingAETitles == ["A", "B"])
        #expect(facts.modality == "MR")
        #expect(facts.numberOfInstances == 3)
        #expect(facts.sliceSpacing == 2.5)
        #expect(facts.studyDescription == nil)
    }
}
