// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Imaging
import Segmentation

/// Prompts and parameters for a segmenter, as given on the command line.
struct PromptOptions: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Box around the structure, in pixels of every image; in a volume, of the key slice.",
            valueName: "x0,y0,x1,y1"))
    var box: BoxArgument?

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Point on the structure (+) or beside it (-), in pixels of every image. May be repeated.",
            valueName: "x,y,+|-"))
    var point: [PointArgument] = []

    @Option(
        help: ArgumentHelp("Slice of a volume to which the box belongs, counted from 1.", valueName: "number"))
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

    var options: SegmenterOptions {
        SegmenterOptions(
            box: box?.value, points: point.map(\.value), keySlice: keySlice, margin: margin, shift: shift)
    }

    /// The names of the options that are set, for error messages.
    var names: [String] {
        [
            box.map { _ in "--box" }, point.isEmpty ? nil : "--point", keySlice.map { _ in "--key-slice" },
            margin.map { _ in "--margin" }, shift.map { _ in "--shift" },
        ].compactMap { $0 }
    }

    func validate() throws {
        if keySlice != nil, box == nil {
            throw ValidationError("--key-slice needs --box")
        }
    }

    /// Checks that a segmenter takes these options.
    ///
    /// - Throws: `ValidationError` if the segmenter does not take one of them.
    func check(_ options: SegmenterOptions, segmenter: String) throws {
        do {
            try Segmenters.entry(segmenter).check(options)
        } catch {
            throw ValidationError("\(error)")
        }
    }
}

/// A box on the command line: `x0,y0,x1,y1`.
struct BoxArgument: ExpressibleByArgument {
    var value: Box

    init?(argument: String) {
        let numbers = argument.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
        guard numbers.count == 4, let x0 = numbers[0], let y0 = numbers[1], let x1 = numbers[2], let y1 = numbers[3]
        else { return nil }
        value = Box(x0: x0, y0: y0, x1: x1, y1: y1)
    }
}

/// A point on the command line: `x,y,+` or `x,y,-`.
struct PointArgument: ExpressibleByArgument {
    var value: LabeledPoint

    init?(argument: String) {
        let fields = argument.split(separator: ",", omittingEmptySubsequences: false)
        guard fields.count == 3, let x = Double(fields[0]), let y = Double(fields[1]), ["+", "-"].contains(fields[2])
        else { return nil }
        value = LabeledPoint(x: x, y: y, isForeground: fields[2] == "+")
    }
}
