// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Testing

/// Prompts and parameters as jobs store them, and as derived UIDs depend on them.
@Suite struct SegmenterOptionsTests {
    private let box = Box(x0: 1, y0: 2, x1: 3, y1: 4)

    @Test func `options of a stored job of an earlier version are read`() throws {
        let stored = Data(#"{"box":{"x0":1,"y0":2,"x1":3,"y1":4},"points":[],"keySlice":2,"margin":6}"#.utf8)
        let options = try JSONDecoder().decode(SegmenterOptions.self, from: stored)
        #expect(options == SegmenterOptions(box: box, keySlice: 2, margin: 6))
        #expect(options.words == ["box=1.0,2.0,3.0,4.0", "keySlice=2", "margin=6.0"])
    }

    @Test func `options without the newer ones are written as before`() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let written = try encoder.encode(SegmenterOptions(margin: 6, shift: 2))
        #expect(String(decoding: written, as: UTF8.self) == #"{"margin":6,"points":[],"shift":2}"#)
    }

    @Test func `every prompt, the recipe and the distance of prompts survive, and each is a word`() throws {
        let options = SegmenterOptions(
            box: box, keySlice: 5,
            slicePrompts: [
                SlicePrompt(slice: 9, box: box, points: [LabeledPoint(x: 7, y: 8, isForeground: false)])
            ],
            recipe: "sam2-video", promptEvery: 4)
        let again = try JSONDecoder().decode(SegmenterOptions.self, from: JSONEncoder().encode(options))
        #expect(again == options && options.hasPrompt)
        let words = [
            "box=1.0,2.0,3.0,4.0", "keySlice=5", "slice=9:box=1.0,2.0,3.0,4.0", "slice=9:point=7.0,8.0,-",
            "recipe=sam2-video", "promptEvery=4",
        ]
        #expect(options.words == words)
        #expect(SegmenterOptions(slicePrompts: options.slicePrompts).hasPrompt)
    }
}
