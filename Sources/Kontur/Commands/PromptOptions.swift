// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Imaging
import Segmentation

/// Prompts and parameters for a segmenter, as given on the command line.
struct PromptOptions: ParsableArguments {
    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            """
            Box around the structure, in pixels of every image; in a volume, of the key slice. May be repeated for \
            segmenters that track, with the slice or frame in front: 12:x0,y0,x1,y1.
            """,
            valueName: "x0,y0,x1,y1"))
    var box: [BoxArgument] = []

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            """
            Point on the structure (+) or beside it (-), in pixels of every image; in a volume, of the key slice, or of \
            the slice in front: 12:x,y,+. May be repeated.
            """,
            valueName: "x,y,+|-"))
    var point: [PointArgument] = []

    @Option(
        help: ArgumentHelp(
            """
            Slice of a volume, or frame in the order of time, to which box and points belong, counted from 1. Without \
            box and points, the segmenter finds a box on this slice.
            """, valueName: "number"))
    var keySlice: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Widen boxes that are made from masks by this number of pixels of the network's input.", valueName: "pixels"
        ))
    var margin: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Shift boxes by this number of pixels of the network's input to measure confidence.", valueName: "pixels"))
    var shift: Double?

    @Option(
        help: ArgumentHelp(
            "Track prompts through a volume in this way: medsam2, medsam2-2024 or sam2-video; see docs/models.md.",
            valueName: "name"))
    var recipe: String?

    @Option(
        help: ArgumentHelp(
            "Find a box on every slice at this distance from the key slice, for segmenters that track.",
            valueName: "slices"))
    var promptEvery: Int?

    var options: SegmenterOptions {
        let slices = Set((box.map(\.slice) + point.map(\.slice)).compactMap { $0 }).sorted()
        return SegmenterOptions(
            box: box.first { $0.slice == nil }?.value, points: point.filter { $0.slice == nil }.map(\.value),
            keySlice: keySlice,
            slicePrompts: slices.map { slice in
                SlicePrompt(
                    slice: slice, box: box.first { $0.slice == slice }?.value,
                    points: point.filter { $0.slice == slice }.map(\.value))
            },
            margin: margin, shift: shift, recipe: recipe, promptEvery: promptEvery)
    }

    /// The names of the options that are set, for error messages.
    var names: [String] {
        [
            box.isEmpty ? nil : "--box", point.isEmpty ? nil : "--point", keySlice.map { _ in "--key-slice" },
            margin.map { _ in "--margin" }, shift.map { _ in "--shift" }, recipe.map { _ in "--recipe" },
            promptEvery.map { _ in "--prompt-every" },
        ].compactMap { $0 }
    }

    func validate() throws {
        let slices = box.map(\.slice)
        if let index = slices.indices.first(where: { slices[..<$0].contains(slices[$0]) }) {
            let place = slices[index].map { "slice \($0)" } ?? "the key slice"
            throw ValidationError("--box is given twice for \(place); name other slices as in --box 12:x0,y0,x1,y1")
        }
    }

    /// Checks that a segmenter takes these options, and those of a route that complete them.
    ///
    /// - Throws: `ValidationError` if the segmenter does not take one of them.
    func check(_ options: SegmenterOptions, segmenter: String) throws {
        do {
            let entry = try Segmenters.entry(segmenter)
            try entry.check(options)
            if options.keySlice != nil, !options.hasPrompt, !entry.options.contains(.slicePrompts) {
                throw ValidationError("--key-slice needs --box")
            }
        } catch let error as SegmentationError {
            let given = self.options
            throw ValidationError(
                error.description { option in
                    let key = given.has(option) || !options.has(option) ? nil : option.routeKey
                    return key.map { "\($0) of the route" } ?? option.argument
                })
        }
    }
}

/// The slice in front of a prompt on the command line, as in `12:x,y,+`.
private struct SlicePrefix {
    /// Counted from 1; `nil` without a prefix.
    let slice: Int?
    let rest: Substring

    init?(_ argument: String) {
        let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else {
            (slice, rest) = (nil, argument[...])
            return
        }
        guard let number = Int(parts[0]) else { return nil }
        (slice, rest) = (number, parts[1])
    }
}

/// A box on the command line: `x0,y0,x1,y1`, or `slice:x0,y0,x1,y1`.
struct BoxArgument: ExpressibleByArgument {
    var value: Box
    /// The slice or frame, counted from 1; `nil` for the key slice.
    var slice: Int?

    init?(argument: String) {
        guard let prefix = SlicePrefix(argument) else { return nil }
        slice = prefix.slice
        let numbers = prefix.rest.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
        guard numbers.count == 4, let x0 = numbers[0], let y0 = numbers[1], let x1 = numbers[2], let y1 = numbers[3]
        else { return nil }
        value = Box(x0: x0, y0: y0, x1: x1, y1: y1)
    }
}

/// A point on the command line: `x,y,+` or `x,y,-`, or with the slice in front as in `slice:x,y,+`.
struct PointArgument: ExpressibleByArgument {
    var value: LabeledPoint
    /// The slice or frame, counted from 1; `nil` for the key slice.
    var slice: Int?

    init?(argument: String) {
        guard let prefix = SlicePrefix(argument) else { return nil }
        slice = prefix.slice
        let fields = prefix.rest.split(separator: ",", omittingEmptySubsequences: false)
        guard fields.count == 3, let x = Double(fields[0]), let y = Double(fields[1]), ["+", "-"].contains(fields[2])
        else { return nil }
        value = LabeledPoint(x: x, y: y, isForeground: fields[2] == "+")
    }
}
