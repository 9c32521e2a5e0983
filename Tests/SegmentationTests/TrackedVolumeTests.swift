// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Inference
import Segmentation
import Testing

extension SegmentationSuites {
    /// Segmenters that track a prompt through a volume, on scaled-down networks with random weights.
    @Suite struct TrackedVolumeTests {
        private final class Trace: SegmentationTrace {
            var frames = [TracedFrame]()
            func record(_ frame: TracedFrame) { frames.append(frame) }
            /// The slices in the order of the records.
            var order: [Int] { frames.map(\.index) }
            subscript(slice: Int) -> TracedFrame? { frames.first { $0.index == slice } }
        }

        private let box = Box(x0: 8, y0: 6, x1: 30, y1: 25)

        private func segmenter(_ name: String, recipe: String? = nil) throws -> any Segmenter {
            let chosen = try Segmenters.choose(name, among: DrawnModels.installed())
            return try Segmenters.make(Segmenters.following(SegmenterOptions(recipe: recipe), chosen))
        }

        private func segment(
            _ name: String, _ volume: Volume, _ options: SegmenterOptions, trace: Trace? = nil
        ) throws -> SegmenterResult {
            try segmenter(name, recipe: options.recipe).segment(.volume(volume), options: options, trace: trace) {
                _, _ in
            }
        }

        /// The input of the network for each slice, and the tracker that gets it.
        private func tracker(_ volume: Volume, _ family: ModelFamily) throws -> (SegmentAnything2, ObjectTracker) {
            let network = try SegmentAnything2(
                DrawnModels.file(family), family: family, precision: Compute.transformerPrecision())
            let bytes = MagneticResonance.bytes(volume.voxels)
            let size = volume.rows * volume.columns
            let tracker = ObjectTracker(network, frameCount: volume.slices) { slice in
                let image = ByteImage(
                    rows: volume.rows, columns: volume.columns, channels: 1,
                    values: Array(bytes[slice * size..<(slice + 1) * size]))
                return try network.encode(SequenceInput.input(image, family: family, size: network.inputSize))
            }
            return (network, tracker)
        }

        @Test(arguments: ["medsam2", "sam2-video"])
        func `a box is tracked as the reference's recipe says, and each slice is encoded and dumped once`(
            recipe: String
        ) throws {
            let volume = Inputs.volume(11, 31, 37, Inputs.pattern)
            let trace = Trace()
            let options = SegmenterOptions(box: box, keySlice: 5, recipe: recipe)
            let result = try segment("medsam2-track", volume, options, trace: trace)
            #expect(trace.order == [4, 5, 6, 7, 8, 9, 10, 3, 2, 1, 0] && result.masks.count == 11)

            let (network, tracker) = try tracker(volume, .medsam2)
            let grid = InputGrid(rows: 31, columns: 37, family: .medsam2, size: network.inputSize)
            for isReverse in [false, true] {
                if isReverse, recipe == "medsam2" { tracker.reset() }
                if !isReverse || recipe == "medsam2" {
                    _ = try tracker.prompt(Prompt(box: grid.input(box)), frame: 4)
                }
                try tracker.track(isReverse: isReverse) { expected in
                    let found = try #require(trace[expected.frame])
                    #expect(found.logits?.values == expected.logits.values)
                    #expect(found.tracking?.objectScore.values == [expected.objectScore])
                    #expect(found.tracking?.selection == expected.selection)
                    #expect(found.tracking?.memory?.shape == [1, 16, 8, 8])
                    return true
                }
            }
            // After a reset, the first slice backwards attends to the prompted slice alone.
            let memories = try #require(trace[3]?.tracking?.selection?.memories)
            #expect(memories.count == (recipe == "medsam2" ? 1 : 6))
        }

        @Test func `values that are not numbers are an error, and no empty answer`() throws {
            let network = try SegmentAnything2(
                DrawnModels.file(.medsam2), family: .medsam2, precision: Compute.transformerPrecision())
            let size = network.inputSize
            let input = Tensor(shape: [1, size, size, 3], values: [Float](repeating: .nan, count: size * size * 3))
            let prompt = Prompt(box: PromptBox(x0: 1, y0: 1, x1: 9, y1: 9))
            let tracker = ObjectTracker(network, frameCount: 2) { _ in try network.encode(input) }
            #expect(throws: ComputeError.notFinite) { _ = try tracker.prompt(prompt, frame: 0) }
            let first = try SegmentAnything(DrawnModels.file(.sam), precision: Compute.transformerPrecision())
            let side = first.inputSize
            let other = Tensor(shape: [1, side, side, 3], values: [Float](repeating: .nan, count: side * side * 3))
            #expect(throws: ComputeError.notFinite) {
                _ = try first.decode(first.embed(other), [prompt], multimask: true)
            }
        }

        @Test func `the recipe of 2024 prompts with the image predictor's mask`() throws {
            let volume = Inputs.volume(4, 31, 37, Inputs.pattern)
            let trace = Trace()
            _ = try segment(
                "sam2-track", volume, SegmenterOptions(box: box, keySlice: 2, recipe: "medsam2-2024"), trace: trace)
            // A mask prompt becomes logits of -10 and 10.
            let prompted = try #require(trace[1]?.logits?.values)
            #expect(prompted.allSatisfy { abs($0) <= 10.001 } && prompted.contains { abs(abs($0) - 10) < 1e-3 })
            #expect(trace[2]?.tracking?.selection?.memories == [.init(frame: 1, temporalIndex: 6)])
        }

        @Test func `several prompted slices are conditioning frames, and the other slices attend to all of them`()
            throws
        {
            let volume = Inputs.volume(9, 31, 37, Inputs.pattern)
            let trace = Trace()
            let options = SegmenterOptions(
                box: box, keySlice: 3,
                slicePrompts: [SlicePrompt(slice: 7, points: [LabeledPoint(x: 18, y: 15, isForeground: true)])])
            let result = try segment("medsam2-track", volume, options, trace: trace)
            #expect(trace.order == [2, 6, 3, 4, 5, 7, 8, 1, 0])
            let memories = try #require(trace[3]?.tracking?.selection?.memories)
            #expect(memories.map(\.frame) == [2, 6] && memories.map(\.temporalIndex) == [6, 6])
            #expect(result.notes.contains { $0.hasPrefix("tracked by medsam2 from slices 3, 7") })
        }

        @Test func `a recipe is part of the version, and a segmenter of another version refuses it`() throws {
            let usual = try Segmenters.choose("medsam2-track", among: DrawnModels.installed())
            let other = try Segmenters.following(SegmenterOptions(recipe: "sam2-video"), usual)
            #expect(usual.descriptor.version.hasPrefix("1.0.2+medsam2."))
            #expect(other.descriptor.version.hasPrefix("1.0.2+sam2-video."))
            #expect(other.descriptor.version.count <= 64)
            #expect(try Segmenters.following(.none, usual) == usual)
            let volume = Inputs.volume(3, 31, 37, Inputs.pattern)
            #expect(throws: SegmentationError.self) {
                _ = try segmenter("medsam2-track").segment(
                    .volume(volume), options: SegmenterOptions(box: box, recipe: "sam2-video"), trace: nil
                ) { _, _ in }
            }
            var wrong = usual
            wrong.descriptor.version = "1.0.2+medsam3.x"
            #expect(throws: SegmentationError.self) { _ = try Segmenters.make(wrong) }
        }

        /// Prompts that are refused, and the reason after the name of the segmenter.
        private var refused: [(SegmenterOptions, String)] {
            func points(_ slice: Int, x: Double = 3) -> SegmenterOptions {
                SegmenterOptions(
                    slicePrompts: [SlicePrompt(slice: slice, points: [LabeledPoint(x: x, y: 3, isForeground: true)])])
            }
            func boxes(_ slice: Int, key: Int? = nil, _ other: Box? = nil) -> SegmenterOptions {
                SegmenterOptions(
                    box: other == nil ? box : nil, keySlice: key,
                    slicePrompts: [SlicePrompt(slice: slice, box: other ?? box)])
            }
            let (outside, reversed) = (Box(x0: 99, y0: 3, x1: 120, y1: 9), Box(x0: 9, y0: 3, x1: 2, y1: 9))
            let (unknown, empty) = (Box(x0: 9, y0: .nan, x1: 12, y1: 9), Box(x0: 9, y0: 3, x1: 9, y1: 9))
            return [
                (
                    SegmenterOptions(box: outside),
                    "--box: it lies outside the image of slice 3, which has 37 x 31 pixels"
                ),
                (boxes(4, outside), "--box: it lies outside the image of slice 4"),
                (points(4, x: 37), "--point: a point lies outside the image of slice 4"),
                (SegmenterOptions(box: reversed), "--box: it is inverted"),
                (boxes(2, reversed), "--box: it is inverted"),
                (SegmenterOptions(box: unknown), "--box: its corners are not numbers"),
                (boxes(2, empty), "--box: it is empty"), (points(2, x: .nan), "--point: their coordinates are not"),
                (
                    SegmenterOptions(box: box, keySlice: 6),
                    "--key-slice: slice 6 does not exist: the volume has 5 slices"
                ),
                (SegmenterOptions(keySlice: 6), "--key-slice: slice 6 does not exist"),
                (SegmenterOptions(box: box, keySlice: 0), "--key-slice: slices are counted from 1"),
                (boxes(9), "--box: slice 9 does not exist: the volume has 5 slices"),
                (points(9), "--point: slice 9 does not exist"), (points(0), "--point: slices are counted from 1"),
                (boxes(2, key: 2), "--box: slice 2 has two prompts"), (boxes(3), "--box: slice 3 has two prompts"),
                (SegmenterOptions(slicePrompts: [SlicePrompt(slice: 2)]), "the prompt of slice 2 is empty"),
                (
                    SegmenterOptions(keySlice: 4, slicePrompts: [SlicePrompt(slice: 2, box: box)]),
                    "--key-slice: it has no box and no points, but other slices have"
                ),
                (
                    SegmenterOptions(recipe: "sam3"),
                    "--recipe: no recipe is named sam3: choose one of medsam2, medsam2-2024, sam2-video"
                ),
                (SegmenterOptions(promptEvery: 0), "--prompt-every: it is a number of slices of at least 1"),
                (
                    SegmenterOptions(box: box, promptEvery: 2),
                    "--prompt-every: it is for boxes that the segmenter finds"
                ),
            ]
        }

        @Test func `bad prompts are refused with the reason, in the words of the command line`() throws {
            let volume = Inputs.volume(5, 31, 37, Inputs.pattern)
            let segmenter = try segmenter("medsam2-track")
            for (options, reason) in refused {
                #expect {
                    _ = try segmenter.segment(.volume(volume), options: options, trace: nil) { _, _ in }
                } throws: { error in
                    "\(error)".hasPrefix("medsam2-track cannot use ") && "\(error)".contains(reason)
                }
            }
        }

        @Test func `an unknown recipe, one of another segmenter, and options in a route have their own sentences`()
            throws
        {
            func text(_ name: String, _ options: SegmenterOptions, inRoute: Bool = false) throws -> String {
                do {
                    try Segmenters.entry(name).check(options)
                    return ""
                } catch {
                    return inRoute ? error.description(\.routeKey) : "\(error)"
                }
            }
            let named = "cannot use --recipe: no recipe is named x: choose one of medsam2, medsam2-2024, sam2-video"
            for name in ["medsam2-compact", "medsam2-compact-frames", "polyp-compact"] {
                #expect(try text(name, SegmenterOptions(recipe: "x")) == "\(name) \(named)")
            }
            #expect(
                try text("medsam2-compact", SegmenterOptions(recipe: "medsam2-2024"))
                    == "medsam2-compact cannot use --recipe: it does not follow medsam2-2024: it follows medsam2, "
                    + "sam2-video")
            let several = SegmenterOptions(slicePrompts: [SlicePrompt(slice: 2, box: box)])
            #expect(
                try text("medsam-compact-slices", several)
                    == "medsam-compact-slices cannot use --box or --point with a slice in front: it takes --box, "
                    + "--key-slice, --margin, --shift only")
            #expect(
                try text("medsam-slices", SegmenterOptions(recipe: "medsam2"), inRoute: true)
                    == "medsam-slices cannot use 'recipe': it takes 'margin', 'shift' only")
            #expect(
                try text("polyp-compact", SegmenterOptions(margin: 3), inRoute: true)
                    == "polyp-compact cannot use 'margin': it takes no options")
        }

        @Test(arguments: ["medsam2-track", "sam2-track", "medsam2-compact"])
        func `prompts at the ends, beyond an edge and on a blank slice have a result`(name: String) throws {
            let size = 31 * 37
            let volume = Inputs.volume(5, 31, 37) { (2 * size..<3 * size).contains($0) ? 90 : Inputs.pattern($0) }
            for options in [
                SegmenterOptions(box: box, keySlice: 1), SegmenterOptions(box: box, keySlice: 5),
                SegmenterOptions(box: box, keySlice: 3),
                SegmenterOptions(box: Box(x0: -9, y0: -3, x1: 30, y1: 99), keySlice: 2),
                SegmenterOptions(points: [LabeledPoint(x: 36, y: 0, isForeground: true)], keySlice: 4),
            ] {
                let result = try segment(name, volume, options)
                #expect(result.masks.count == 5 && result.frameConfidence.allSatisfy { (0...1).contains($0.value) })
                let isClipped = options.box.map { $0.x0 < 0 } ?? false
                #expect(result.notes.contains("the box was cut off at the edges of 1 image") == isClipped)
            }
        }

        @Test func `slices that a person prompted keep their answer, also beyond a gap`() throws {
            let volume = Inputs.volume(6, 31, 37, Inputs.pattern)
            // With a prompt on every slice, the ways of tracking differ only in the components that they keep.
            func answer(_ name: String, _ recipe: String, _ box: Box) throws -> [UInt8] {
                let prompts = (1...6).map { SlicePrompt(slice: $0, box: box) }
                return try segment(name, volume, SegmenterOptions(slicePrompts: prompts, recipe: recipe))
                    .masks.flatMap(\.pixels)
            }
            func largest(_ mask: [UInt8]) -> [UInt8] {
                var mask = mask
                ConnectedComponents.keepLargest(&mask, slices: 6, rows: 31, columns: 37)
                return mask
            }
            func isSame(_ one: [UInt8], _ other: [UInt8]) -> Bool { one == other }
            // Drawn weights outline several components for some boxes only, and kernels differ in which.
            let boxes = (0..<40).map { Box(x0: Double($0 % 8) * 3, y0: Double($0 / 8) * 4, x1: 36, y1: 29) }
            var kept = 0
            for box in boxes where kept < 2 {
                let everything = try answer("medsam2-compact", "sam2-video", box)
                guard !isSame(largest(everything), everything) else { continue }
                kept += 1
                #expect(isSame(try answer("medsam2-compact", "medsam2", box), everything))
            }
            #expect(kept == 2)
            // The recipe of MedSAM2's authors keeps the largest component.
            let everything = try answer("medsam2-track", "sam2-video", box)
            #expect(isSame(try answer("medsam2-track", "medsam2", box), largest(everything)))
        }

        @Test func `one slice, a prompt on every slice, and an empty prompted slice have a result`() throws {
            let one = try segment("medsam2-track", Inputs.volume(1, 31, 37, Inputs.pattern), SegmenterOptions(box: box))
            #expect(one.masks.count == 1)

            let all = Trace()
            let options = SegmenterOptions(slicePrompts: (1...6).map { SlicePrompt(slice: $0, box: box) })
            _ = try segment("sam2-track", Inputs.volume(6, 31, 37, Inputs.pattern), options, trace: all)
            #expect(all.order == Array(0..<6) && all.frames.allSatisfy { $0.tracking?.selection == nil })

            let size = 31 * 37
            let empty = Inputs.volume(5, 31, 37) { (2 * size..<3 * size).contains($0) ? 0 : Inputs.pattern($0) }
            let result = try segment("medsam2-track", empty, SegmenterOptions(box: box, keySlice: 3))
            #expect(result.masks.count == 5 && result.confidence.value.isFinite)
        }

        @Test func `an outline that does not follow its prompt is named`() throws {
            let volume = Inputs.volume(3, 31, 37, Inputs.pattern)
            var named = 0
            let boxes = [box, Box(x0: 0, y0: 0, x1: 3, y1: 3), Box(x0: 30, y0: 2, x1: 35, y1: 29)]
            let names = ["medsam2-track", "sam2-track", "medsam2-compact"]
            for (name, box) in names.flatMap({ name in boxes.map { (name, $0) } }) {
                let options = SegmenterOptions(box: box, keySlice: 2, recipe: "sam2-video")
                let result = try segment(name, volume, options)
                let mask = result.masks[1]
                let places = mask.pixels.indices.filter { mask.pixels[$0] != 0 }
                let outside = places.count {
                    let (x, y) = (Double($0 % 37) + 0.5, Double($0 / 37) + 0.5)
                    return x < box.x0 || x > box.x1 || y < box.y0 || y > box.y1
                }
                let strays = 2 * outside > places.count
                #expect(result.notes.contains("the outline does not follow the prompt of slice 2") == strays)
                #expect(result.notes.contains("nothing was found in the prompted slice 2") == places.isEmpty)
                let outlined = result.masks.count { !$0.isEmpty }
                #expect(result.notes.contains { $0.hasSuffix("outlined in \(outlined) of 3 slices") })
                named += strays ? 1 : 0
            }
            #expect(named > 0)
        }

        @Test func `a volume of 300 slices needs no more memory at its end than after 10 slices`() throws {
            let volume = Inputs.volume(300, 40, 40, Inputs.pattern)
            let segmenter = try segmenter("medsam2-track")
            var early = 0
            _ = try segmenter.segment(
                .volume(volume), options: SegmenterOptions(box: Box(x0: 5, y0: 5, x1: 35, y1: 35), keySlice: 1),
                trace: nil
            ) { done, _ in if done == 10 { early = residentKiB() } }
            // The answers of 290 slices of 40 x 40 pixels take 2.3 MB.
            #expect(residentKiB() - early < 16 << 10)
        }

        @Test func `progress counts every slice once, whatever the number of prompts`() throws {
            var steps = [[Int]]()
            let options = SegmenterOptions(box: box, keySlice: 2, slicePrompts: [SlicePrompt(slice: 4, box: box)])
            _ = try segmenter("medsam2-track").segment(
                .volume(Inputs.volume(6, 31, 37, Inputs.pattern)), options: options, trace: nil
            ) { steps.append([$0, $1]) }
            #expect(steps == (1...6).map { [$0, 6] })
        }

        @Test func `confidence holds object score, predicted IoU, stability and, where prompted, jitter agreement`()
            throws
        {
            let volume = Inputs.volume(5, 31, 37, Inputs.pattern)
            let trace = Trace()
            let options = SegmenterOptions(box: box, keySlice: 3)
            let result = try segment("medsam2-track", volume, options, trace: trace)
            for (slice, confidence) in result.frameConfidence.enumerated() {
                let score = Double(try #require(trace[slice]?.tracking?.objectScore.values.first))
                let presence = try #require(confidence.measures["objectPresence"])
                #expect(abs(presence - 1 / (1 + exp(-score))) < 1e-5)
                #expect((confidence.measures["predictedIoU"] != nil) == (score > 0))
                #expect((confidence.measures["jitterAgreement"] != nil) == (score > 0 && slice == 2))
                if score <= 0 {
                    #expect(result.masks[slice].isEmpty && abs(confidence.value - (1 - presence)) < 1e-9)
                }
            }
            let firm = try segment("medsam2-track", volume, SegmenterOptions(box: box, keySlice: 3, shift: 0))
            #expect(firm.frameConfidence[2].measures["jitterAgreement"] == nil)
        }

        private func residentKiB() -> Int {
            let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
            return line.split(separator: " ").compactMap { Int($0) }.first ?? 0
        }
    }

    /// Segmenters that track a prompt through frames in the order of time.
    @Suite struct TrackedFramesTests {
        private final class Trace: SegmentationTrace {
            var frames = [TracedFrame]()
            func record(_ frame: TracedFrame) { frames.append(frame) }
        }

        // Bright edges, so a frame is its own endoscopic field.
        private func frame(_ shift: Int, rows: Int = 70, columns: Int = 99) -> Frame {
            Inputs.frame(rows, columns) { 60 + Inputs.pattern($0 + $1 + shift).truncatingRemainder(dividingBy: 190) }
        }

        private let box = Box(x0: 20, y0: 15, x1: 71, y1: 52)

        private func segment(
            _ frames: [Frame], _ options: SegmenterOptions, trace: Trace? = nil
        ) throws -> SegmenterResult {
            try DrawnModels.segmenter("sam2-track-frames").segment(.frames(frames), options: options, trace: trace) {
                _, _ in
            }
        }

        @Test func `frames after the prompted one attend to it, and frames before it are empty`() throws {
            let trace = Trace()
            let result = try segment(
                (0..<5).map { frame(40 * $0) }, SegmenterOptions(box: box, keySlice: 2), trace: trace)
            #expect(result.masks.count == 5 && result.masks[0].isEmpty)
            #expect(trace.frames.map(\.index) == [1, 2, 3, 4])
            let selections = trace.frames.map { $0.tracking?.selection?.memories.map(\.frame) }
            #expect(selections == [nil, [1], [1, 2], [1, 2, 3]])
        }

        @Test func `a later prompt joins the track, and a frame of another size ends it`() throws {
            let trace = Trace()
            let options = SegmenterOptions(box: box, slicePrompts: [SlicePrompt(slice: 3, box: box)])
            let frames = (0..<4).map { frame(40 * $0) } + [frame(0, rows: 50, columns: 80)]
            let result = try segment(frames, options, trace: trace)
            #expect(trace.frames.map(\.index) == [0, 1, 2, 3])
            #expect(trace.frames[3].tracking?.selection?.memories.map(\.frame) == [0, 2, 1])
            #expect(result.masks[4].rows == 50 && result.masks[4].isEmpty)
        }

        @Test func `bad prompts are refused with the reason, before the first frame is segmented`() throws {
            func prompted(twice slice: Int) -> SegmenterOptions {
                SegmenterOptions(box: box, slicePrompts: [SlicePrompt(slice: slice, box: box)])
            }
            for (options, reason) in [
                (prompted(twice: 9), "--box: frame 9 does not exist: the images have 2 frames"),
                (SegmenterOptions(box: box, keySlice: 3), "--key-slice: frame 3 does not exist"),
                (prompted(twice: 1), "--box: frame 1 has two prompts"),
                (SegmenterOptions(keySlice: 2), "--key-slice: it needs a box or points"),
                (SegmenterOptions(box: box, recipe: "medsam2"), "--recipe: it tracks frames forwards in time only"),
                (
                    SegmenterOptions(box: Box(x0: 200, y0: 1, x1: 300, y1: 9)),
                    "--box: it lies outside the image of frame 1, which has 99 x 70 pixels"
                ),
            ] {
                let trace = Trace()
                #expect { _ = try segment([frame(0), frame(40)], options, trace: trace) } throws: {
                    "\($0)".contains(reason)
                }
                #expect(trace.frames.isEmpty)
            }
        }

        @Test func `a frame that cannot be read keeps its number`() throws {
            let trace = Trace()
            let segmenter = try #require(DrawnModels.segmenter("sam2-track-frames") as? any FrameSegmenter)
            let run = try segmenter.run(
                frames: 5,
                options: SegmenterOptions(box: box, keySlice: 2, slicePrompts: [SlicePrompt(slice: 5, box: box)]),
                trace: trace)
            _ = try run.answer(frame(0))
            run.leaveOut(2)
            _ = try run.answer(frame(40))
            _ = try run.answer(frame(80))
            #expect(trace.frames.map(\.index) == [4])
            #expect(run.summary().notes.contains("frame 2 could not be read: its prompt was not used"))
        }

        @Test func `a person's prompt is needed where polyp-compact does not know the images`() throws {
            // Grey images, as slices of an MR volume are.
            let grey = Inputs.frame(70, 99, channels: 1) { pixel, _ in
                60 + Inputs.pattern(pixel).truncatingRemainder(dividingBy: 190)
            }
            let note = "polyp-compact looked for prompts, and 1 of 1 images do not look like frames of a colonoscopy"
            for name in ["medsam-compact-box", "sam-point", "medsam2-compact-frames"] {
                let segmenter = try DrawnModels.segmenter(name)
                let found = try segmenter.segment(.frames([grey])) { _, _ in }
                #expect(found.confidence.value <= 0.25 && found.notes.contains { $0.hasPrefix(note) })
                let point = LabeledPoint(x: 40, y: 30, isForeground: true)
                let asked = try segmenter.segment(
                    .frames([grey]), options: SegmenterOptions(points: [point]), trace: nil
                ) { _, _ in }
                #expect(!asked.notes.contains { $0.hasPrefix(note) })
            }
            // A doubted prompt also makes the frames doubtful that are tracked from it.
            let tracked = try DrawnModels.segmenter("medsam2-compact-frames").segment(
                .frames([grey, grey, grey])
            ) { _, _ in }
            #expect(tracked.frameConfidence.allSatisfy { $0.value <= 0.25 })
        }
    }

    /// The choice of slices without a person's prompt.
    @Suite struct KeySliceTests {
        private func mask(_ area: Int) -> Mask {
            Mask(rows: 4, columns: 4, pixels: (0..<16).map { $0 < area ? 1 : 0 })
        }

        @Test func `the key slice has the largest product of area and confidence`() {
            let masks = [0, 4, 8, 9, 0].map(mask)
            #expect(KeySlice.best(masks, confidence: [1, 0.9, 0.9, 0.5, 1]) == 2)
            #expect(KeySlice.best(masks, confidence: [1, 0.9, 0.9, 0.9, 1]) == 3)
            #expect(KeySlice.best(masks, confidence: [1, 0, 0, 0, 1]) == 3)
            #expect(KeySlice.best([0, 0].map(mask), confidence: [1, 1]) == nil)
            #expect(KeySlice.best([5, 5].map(mask), confidence: [0.5, 0.5]) == 0)
        }

        @Test func `further slices lie at multiples of the distance where something was found`() {
            let masks = [0, 3, 3, 3, 3, 3, 3, 0].map(mask)
            #expect(KeySlice.prompted(masks, key: 3, every: nil) == [3])
            #expect(KeySlice.prompted(masks, key: 3, every: 2) == [3, 1, 5])
            #expect(KeySlice.prompted(masks, key: 3, every: 1) == [3, 1, 2, 4, 5, 6])
            #expect(KeySlice.prompted(masks, key: 3, every: 9) == [3])
        }
    }
}
