// SPDX-License-Identifier: Apache-2.0

import Inference
import Testing

extension InferenceSuites {
    /// Compares tracks through twelve frames with the package sam2.
    ///
    /// Logits may differ by 1e-3 (norm of the difference over norm). An input changed by 1e-6 moves them by 5e-6, and
    /// by 1.4e-5 in the network of SAM 2.0. Memories are rounded to bf16: the same change moves them by 4e-4.
    @Suite struct ObjectTrackerTests {
        init() throws { try Compute.startWithAnyThreads() }

        static let tracks = [
            ("sam2_1", "continue"), ("sam2_1", "reset"), ("sam2_1", "two"), ("sam2_1", "point"), ("sam2_1", "mask"),
            ("sam2_1", "correction"), ("sam2_0", "reset"),
        ]

        @Test(arguments: tracks)
        func `every frame has the mask, score, pointer and memory of the reference`(
            name: String, recipe: String
        ) throws {
            let drawn = try DrawnSam2(name)
            let track = try DrawnTrack(recipe, drawn, drawn.network())
            let prefix = "track.\(recipe)."
            let expected = drawn.golden.file.names.filter { $0.hasPrefix(prefix) && $0.hasSuffix(".score") }
            #expect(track.steps.count == expected.count)
            for step in track.steps {
                func compare(_ found: [Float], _ kind: String, _ limit: Double) throws {
                    let reference = try drawn.golden.file.tensor("\(prefix)\(step.name).\(kind)").values
                    let found = error(try drawn.sample(found, kind), reference)
                    #expect(found < limit, "\(step.name) \(kind) \(found)")
                }
                try compare(step.frame.logits.values, "low_res", 1e-3)
                try compare(step.pointer, "pointer", 1e-3)
                if !step.memory.isEmpty { try compare(step.memory, "memory", 2e-3) }
                if let conditioned = step.conditioned, step.frame.selection != nil {
                    try compare(conditioned, "conditioned", 1e-4)
                }
                let score = try drawn.golden.file.tensor("\(prefix)\(step.name).score").values[0]
                #expect(abs(step.frame.objectScore - score) < 2e-3, "\(step.name) \(step.frame.objectScore) \(score)")
            }
        }

        @Test(arguments: tracks)
        func `every frame attends to the memories and pointers of the reference`(name: String, recipe: String) throws {
            let drawn = try DrawnSam2(name)
            let track = try DrawnTrack(recipe, drawn, drawn.network())
            for step in track.steps {
                let expected = drawn.facts.memories["\(recipe).\(step.name)"]
                let found = step.frame.selection
                #expect((found == nil) == (expected == nil), "\(step.name)")
                #expect((found?.memories ?? []).map { [$0.frame, $0.temporalIndex] } == expected?.memories ?? [])
                #expect((found?.pointers ?? []).map { [$0.frame, $0.distance] } == expected?.pointers ?? [])
            }
        }

        @Test(arguments: [
            "cross_attn_image.out_proj.weight", "self_attn.out_proj.weight", "maskmem_tpos_enc", "fuser.layers.0.gamma",
            "obj_ptr_proj.layers.2.weight", "obj_ptr_tpos_proj.weight", "no_obj_embed_spatial", "no_mem_embed",
        ])
        func `without a part of the memory the same comparison fails`(part: String) throws {
            let drawn = try DrawnSam2("sam2_1")
            let network = try drawn.network { name, values in
                name.hasSuffix(part) && !name.hasPrefix("sam_") ? values.map { _ in 0 } : values
            }
            var largest = 0.0
            for step in try DrawnTrack("reset", drawn, network).steps where step.frame.selection != nil {
                let reference = try drawn.golden.file.tensor("track.reset.\(step.name).conditioned").values
                largest = max(largest, error(try drawn.sample(step.conditioned ?? [], "conditioned"), reference))
            }
            #expect(largest > 1e-3, "\(largest)")
        }

        @Test func `in bf16 the error of a frame is at most 1.2 times that of PyTorch's autocast`() throws {
            let drawn = try DrawnSam2("sam2_1")
            let network = try drawn.network(.bf16)
            for recipe in drawn.facts.recipes {
                var (found, reference) = ([Float](), [Float]())
                for step in try DrawnTrack(recipe, drawn, network, keepsReference: true).steps {
                    let name = "track.\(recipe).\(step.name)"
                    let isThere = try drawn.golden.file.tensor("\(name).score").values[0] > 0
                    guard isThere, step.frame.objectScore > 0 else { continue }
                    found += try drawn.sample(step.frame.logits.values, "low_res")
                    reference += try drawn.golden.file.tensor("\(name).low_res").values
                }
                let limit = 1.2 * (try #require(drawn.facts.bf16["track.\(recipe)"]))
                #expect(error(found, reference) < limit, "\(recipe) \(error(found, reference)) \(limit)")
            }
        }

        @Test func `memories that no frame attends to are dropped, and the masks stay the same`() throws {
            let drawn = try DrawnSam2("sam2_1")
            let network = try drawn.network()
            // Twelve frames do not reach further than memories do, so the frames repeat.
            func track(_ keepsHistory: Bool) throws -> (frames: [TrackedFrame], most: Int) {
                let tracker = ObjectTracker(network, frameCount: 30, options: .init(keepsHistory: keepsHistory)) {
                    try network.encode(drawn.frame($0 % drawn.facts.frames))
                }
                _ = try tracker.prompt(Prompt(box: DrawnSam2.box(drawn.facts.box)), frame: 15)
                var (frames, most) = ([TrackedFrame](), 0)
                for isReverse in [false, true] {
                    try tracker.track(isReverse: isReverse) { frame in
                        frames.append(frame)
                        most = max(most, tracker.framesInMemory)
                        return true
                    }
                }
                return (frames, most)
            }
            let (kept, all) = try track(true)
            let (dropped, few) = try track(false)
            #expect(kept == dropped)
            #expect(kept.count == 31)
            #expect(all == 30)
            // The prompted frame, six on each side of it, the latest one and six behind it.
            #expect(few == 20)
        }

        @Test func `wrong uses of a tracker are named`() throws {
            let drawn = try DrawnSam2("sam2_1")
            let network = try drawn.network()
            let tracker = ObjectTracker(network, frameCount: 3, options: .init(keepsHistory: false)) {
                try network.encode(drawn.frame($0))
            }
            let box = Prompt(box: DrawnSam2.box(drawn.facts.box))
            #expect(throws: TrackingError.noPrompt) { try tracker.track { _ in true } }
            #expect(throws: TrackingError.frame(3, count: 3)) { try tracker.prompt(box, frame: 3) }
            #expect(throws: TrackingError.frame(-1, count: 3)) { try tracker.prompt(box, frame: -1) }
            #expect(throws: TrackingError.emptyPrompt) { try tracker.prompt(Prompt(), frame: 0) }
            #expect(throws: SegmentAnythingError.notFinite) {
                try tracker.prompt(Prompt(points: [PromptPoint(x: .infinity, y: 1)]), frame: 0)
            }
            _ = try tracker.prompt(box, frame: 0)
            try tracker.track { _ in true }
            #expect(throws: TrackingError.dropped(frame: 2)) { try tracker.prompt(box, frame: 2) }
        }

        @Test func `a sequence of one frame, a box outside and a prompt on every frame have answers`() throws {
            let drawn = try DrawnSam2("sam2_1")
            let network = try drawn.network()
            func tracker(_ frames: Int) -> ObjectTracker {
                ObjectTracker(network, frameCount: frames) { try network.encode(drawn.frame($0)) }
            }
            let one = tracker(1)
            let answer = try one.prompt(Prompt(box: DrawnSam2.box(drawn.facts.box)), frame: 0)
            var seen = [TrackedFrame]()
            try one.track { seen.add($0) }
            try one.track(isReverse: true) { seen.add($0) }
            #expect(seen == [answer])
            let outside = try tracker(1).prompt(Prompt(box: PromptBox(x0: -90, y0: -90, x1: -20, y1: 300)), frame: 0)
            #expect(outside.logits.values.allSatisfy { $0.isFinite })
            let empty = try tracker(1).prompt(mask: [Bool](repeating: false, count: 12), height: 3, width: 4, frame: 0)
            #expect(empty.objectScore == -10)
            #expect(empty.logits.values.allSatisfy { abs($0 + 10) < 1e-4 })
            let every = tracker(4)
            let answers = try (0..<4).map { try every.prompt(Prompt(box: DrawnSam2.box(drawn.facts.box)), frame: $0) }
            seen = []
            try every.track { seen.add($0) }
            #expect(seen == answers)
        }

        @Test func `the tracking stops when it is told to`() throws {
            let drawn = try DrawnSam2("sam2_1")
            let network = try drawn.network()
            let tracker = ObjectTracker(network, frameCount: 12) { try network.encode(drawn.frame($0)) }
            _ = try tracker.prompt(Prompt(box: DrawnSam2.box(drawn.facts.box)), frame: 2)
            var frames = [Int]()
            try tracker.track { frames.add($0.frame) && $0.frame < 4 }
            #expect(frames == [2, 3, 4])
            frames = []
            try tracker.track(isReverse: true, atMost: 1) { frames.add($0.frame) }
            #expect(frames == [2, 1])
        }

        @Test func `small holes are filled, and large ones stay`() {
            // Two pixels that touch at a corner, and a column of nine.
            var logits = [Float](repeating: 3, count: 9 * 9)
            for pixel in [10, 20] + stride(from: 6, to: 81, by: 9) { logits[pixel] = -2 }
            logits[40] = 0
            let filled = HoleFilling.filled(Tensor(shape: [1, 9, 9], values: logits), largest: 8)
            for pixel in logits.indices {
                #expect(filled.values[pixel] == ([10, 20, 40].contains(pixel) ? 0.1 : logits[pixel]))
            }
        }
    }

    @Suite struct MemorySelectionTests {
        @Test func `a prompted frame ahead is a memory, and its pointer does not count`() {
            let ahead = MemorySelection(frame: 4, isReverse: false, frames: 20, prompted: [2, 9], tracked: [3])
            #expect(
                ahead.memories == [
                    .init(frame: 2, temporalIndex: 6), .init(frame: 9, temporalIndex: 6),
                    .init(frame: 3, temporalIndex: 0),
                ])
            #expect(ahead.pointers == [.init(frame: 2, distance: 2), .init(frame: 3, distance: 1)])
        }

        @Test func `six tracked frames are memories, and fifteen are pointers`() {
            let selection = MemorySelection(
                frame: 20, isReverse: true, frames: 60, prompted: [59], tracked: Set(21..<59))
            #expect(selection.memories.map(\.frame) == [59, 26, 25, 24, 23, 22, 21])
            #expect(selection.memories.map(\.temporalIndex) == [6, 5, 4, 3, 2, 1, 0])
            #expect(selection.pointers.map(\.distance) == [39] + Array(1...15))
        }

        @Test func `short sequences have fewer pointers`() {
            let short = MemorySelection(frame: 4, isReverse: false, frames: 5, prompted: [0], tracked: [1, 2, 3])
            #expect(short.pointers.map(\.distance) == [4, 1, 2, 3])
            let single = MemorySelection(frame: 0, isReverse: false, frames: 1, prompted: [], tracked: [])
            #expect(single.memories.isEmpty && single.pointers.isEmpty)
        }
    }
}

extension Array {
    /// Appends an element and says that the tracking goes on.
    fileprivate mutating func add(_ element: Element) -> Bool {
        append(element)
        return true
    }
}
