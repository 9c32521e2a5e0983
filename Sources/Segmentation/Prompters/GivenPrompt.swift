// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

/// A person's prompt, checked against the size of its image.
struct GivenPrompt {
    /// XYXY in pixels of the image, cut off at its edges.
    let box: Box?
    let points: [LabeledPoint]
    /// Whether the box was cut off.
    let isClipped: Bool

    /// Checks the prompt of `options`.
    ///
    /// - Parameters:
    ///   - options: the person's options.
    ///   - rows: rows of the image.
    ///   - columns: columns of the image.
    ///   - segmenter: its name, for errors.
    ///   - place: the prompted slice or frame in words, for errors; `nil` if the prompt is that of all images.
    /// - Throws: `SegmentationError.option` if a box or point lies outside the image.
    init(
        _ options: SegmenterOptions, rows: Int, columns: Int, segmenter: String, place: String? = nil
    ) throws(SegmentationError) {
        let image = "the image\(place.map { " of \($0)" } ?? ""), which has \(columns) x \(rows) pixels"
        var clipped: Box?
        if let box = options.box {
            let inside = Box(
                x0: max(box.x0, 0), y0: max(box.y0, 0), x1: min(box.x1, Double(columns)), y1: min(box.y1, Double(rows)))
            guard inside.width > 0, inside.height > 0 else {
                throw .option(segmenter: segmenter, option: .box, reason: "it lies outside \(image)")
            }
            clipped = inside
        }
        for point in options.points {
            guard (0..<Double(columns)).contains(point.x), (0..<Double(rows)).contains(point.y) else {
                throw .option(segmenter: segmenter, option: .points, reason: "a point lies outside \(image)")
            }
        }
        box = clipped
        points = options.points
        isClipped = clipped != options.box
    }

    private init(box: Box?, points: [LabeledPoint], isClipped: Bool) {
        (self.box, self.points, self.isClipped) = (box, points, isClipped)
    }

    /// The prompt in pixels of the part `part` of the image, its box cut off at the part's edges.
    func moved(into part: PixelBox) -> GivenPrompt {
        let (x, y) = (Double(part.x0), Double(part.y0))
        let inside = box.map { box in
            Box(
                x0: max(box.x0 - x, 0), y0: max(box.y0 - y, 0), x1: min(box.x1 - x, Double(part.width)),
                y1: min(box.y1 - y, Double(part.height)))
        }
        let moved = points.map { LabeledPoint(x: $0.x - x, y: $0.y - y, isForeground: $0.isForeground) }
        return GivenPrompt(box: inside, points: moved, isClipped: isClipped)
    }

    /// Whether the points and a part of the box lie in the part `part` of the image.
    func lies(in part: PixelBox) -> Bool {
        let moved = moved(into: part)
        return moved.box.map { $0.width > 0 && $0.height > 0 } ?? true
            && moved.points.allSatisfy {
                (0..<Double(part.width)).contains($0.x) && (0..<Double(part.height)).contains($0.y)
            }
    }

    /// Whether a mask follows the prompt: at least half of it lies in the box, and no point is on the wrong side.
    ///
    /// - Parameters:
    ///   - mask: 1 inside; `[rows, columns]` of the image.
    ///   - columns: columns of the image.
    /// - Returns: true for an empty mask and a box alone.
    func isFollowed(by mask: [UInt8], columns: Int) -> Bool {
        let isRight = points.allSatisfy { (mask[Int($0.y) * columns + Int($0.x)] != 0) == $0.isForeground }
        guard let box, isRight else { return isRight }
        let places = mask.indices.filter { mask[$0] != 0 }
        let inside = places.count {
            (box.x0...box.x1).contains(Double($0 % columns) + 0.5)
                && (box.y0...box.y1).contains(Double($0 / columns) + 0.5)
        }
        return 2 * inside >= places.count
    }

    /// The prompt in pixels of the network's input.
    func prompt(on grid: InputGrid) -> Prompt { Prompt(points: points.map(grid.input), box: box.map(grid.input)) }
}

/// Counts unusual boxes for the notes of an answer.
struct BoxNotes {
    /// A box that covers this fraction of both sides of an image counts as large as the image.
    static let wholeImage: Float = 0.95

    /// Images whose box reached beyond their edges.
    var clipped = 0
    private var whole = 0
    private var shrunk = 0

    /// Counts the boxes among `prompts` that are about as large as the image, and those without width or height.
    mutating func count(_ prompts: [Prompt], on grid: InputGrid) {
        let boxes = prompts.compactMap(\.box)
        shrunk += boxes.count { $0.x1 <= $0.x0 || $0.y1 <= $0.y0 }
        whole += boxes.count {
            $0.x1 - $0.x0 >= Self.wholeImage * Float(grid.insideColumns)
                && $0.y1 - $0.y0 >= Self.wholeImage * Float(grid.insideRows)
        }
    }

    /// The notes on the counted boxes, for an answer of a network of `family`.
    func notes(_ family: ModelFamily) -> [String] {
        var notes = [String]()
        if clipped > 0 {
            notes.append("the box was cut off at the edges of \(clipped) image\(clipped == 1 ? "" : "s")")
        }
        if shrunk > 0 {
            notes.append("the margin shrank \(shrunk) box\(shrunk == 1 ? "" : "es") to nothing: choose a larger margin")
        }
        if whole > 0 {
            notes.append(
                "\(whole) \(whole == 1 ? "box is" : "boxes are") about as large as the image: "
                    + (family == .medsam || family == .liteMedSAM
                        ? "\(family.title) fails there" : "the answer may be the background"))
        }
        return notes
    }
}
