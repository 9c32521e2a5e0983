// SPDX-License-Identifier: Apache-2.0

package import Imaging
internal import Inference

/// Makes prompts from a mask that another network found.
package enum MaskPrompter {
    /// A frame gets prompts for at most this many objects.
    package static let mostObjects = 8
    /// Objects smaller than this fraction of the largest one do not get a prompt.
    package static let smallestShare = 0.05

    /// The box around the set pixels.
    ///
    /// - Parameters:
    ///   - pixels: 0 or 1, `[rows, columns]`.
    ///   - columns: columns of the image.
    /// - Returns: the indices of the outermost set pixels, both included; `nil` for an empty mask.
    package static func box(_ pixels: [UInt8], columns: Int) -> Box? {
        var (left, right, top, bottom) = (Int.max, -1, -1, -1)
        for row in 0..<pixels.count / columns {
            let line = pixels[row * columns..<(row + 1) * columns]
            guard let first = line.firstIndex(where: { $0 != 0 }) else { continue }
            let last = line.lastIndex { $0 != 0 } ?? first
            if top < 0 { top = row }
            bottom = row
            left = min(left, first - row * columns)
            right = max(right, last - row * columns)
        }
        guard top >= 0 else { return nil }
        return Box(x0: Double(left), y0: Double(top), x1: Double(right), y1: Double(bottom))
    }

    /// The connected objects of a mask, the largest first, without negligible ones.
    ///
    /// - Returns: one mask per object, 0 or 1, `[rows, columns]`.
    package static func objects(_ mask: Mask) -> [[UInt8]] {
        var rest = mask.pixels
        var objects = [[UInt8]]()
        var largest = 0
        while objects.count < mostObjects {
            var object = rest
            ConnectedComponents.keepLargest(&object, slices: 1, rows: mask.rows, columns: mask.columns)
            let area = object.reduce(0) { $0 + Int($1) }
            largest = max(largest, area)
            guard area > 0, Double(area) >= smallestShare * Double(largest) else { break }
            for index in rest.indices where object[index] != 0 { rest[index] = 0 }
            objects.append(object)
        }
        return objects
    }

    /// The set pixel that is farthest from all clear pixels and from the image's edge.
    ///
    /// - Parameters:
    ///   - pixels: 0 or 1, `[rows, columns]`.
    ///   - columns: columns of the image.
    /// - Returns: the indices of the first such pixel; `nil` for an empty mask.
    package static func innermost(_ pixels: [UInt8], columns: Int) -> LabeledPoint? {
        guard let box = box(pixels, columns: columns) else { return nil }
        let (left, top) = (Int(box.x0), Int(box.y0))
        // The object's box with a border of clear pixels.
        let (width, height) = (Int(box.x1) - left + 3, Int(box.y1) - top + 3)
        var part = [Bool](repeating: false, count: width * height)
        for row in 1..<height - 1 {
            for column in 1..<width - 1 {
                part[row * width + column] = pixels[(top + row - 1) * columns + left + column - 1] != 0
            }
        }
        let distances = squaredDistances(part, width, height)
        guard let best = distances.indices.max(by: { (distances[$0], $1) < (distances[$1], $0) }) else { return nil }
        return LabeledPoint(
            x: Double(left + best % width - 1), y: Double(top + best / width - 1), isForeground: true)
    }

    /// Squared distances of every pixel to the nearest clear one (Meijster 2000), first down the
    /// columns, then along rows.
    private static func squaredDistances(_ inside: [Bool], _ width: Int, _ height: Int) -> [Int] {
        var down = [Int](repeating: 0, count: width * height)
        for column in 0..<width {
            for row in 1..<height where inside[row * width + column] {
                down[row * width + column] = down[(row - 1) * width + column] + 1
            }
            for row in (0..<height - 1).reversed() {
                down[row * width + column] = min(down[row * width + column], down[(row + 1) * width + column] + 1)
            }
        }
        var squared = down
        for row in 0..<height {
            let line = Array(down[row * width..<(row + 1) * width])
            for column in 0..<width where line[column] > 0 {
                var best = line[column] * line[column]
                // Columns farther away than the best distance cannot improve it.
                var step = 1
                while step * step < best {
                    for other in [column - step, column + step] where line.indices.contains(other) {
                        best = min(best, step * step + line[other] * line[other])
                    }
                    step += 1
                }
                squared[row * width + column] = best
            }
        }
        return squared
    }
}

/// Runs the compact network that finds the prompts of a promptable one.
final class CompactPrompter {
    /// Name of the compact segmenter.
    let name: String
    private let recipe: Recipe
    private let precision: Precision
    private let asked: String
    /// Loaded at its first use, because a person's prompt makes it unnecessary.
    private var loaded: (any Segmenter)?

    /// - Parameters:
    ///   - recipe: the compact recipe.
    ///   - prompted: the name of the segmenter that needs prompts. Errors name it.
    ///   - precision: the number format of the network's matrix products.
    init(_ recipe: Recipe, for prompted: String, precision: Precision) {
        self.recipe = recipe
        name = recipe.entry.name
        asked = prompted
        self.precision = precision
    }

    /// Whether the compact network says of its answer for a frame that the frame is not like those that it knows.
    ///
    /// The prompts that it finds in such a frame mean nothing, however sure the prompted network is of its answer.
    func doubts(_ found: SegmenterResult) -> Bool { found.frameConfidence.first.map(PolypCompact.isUnlike) ?? false }

    /// The note on frames that are not like those of the compact network, and whose prompts it looked for or not.
    func notes(onUnlike frames: Int, of count: Int, wasPrompted: Bool) -> [String] {
        guard frames > 0 else { return [] }
        guard !wasPrompted else {
            let number = "\(frames) prompted image\(frames == 1 ? " does" : "s do")"
            return ["\(number) not look like frames of a colonoscopy, but what was outlined is called a polyp"]
        }
        return [
            "\(name) looked for prompts, and \(frames) of \(count) images do not look like frames of a colonoscopy: "
                + "prompt the images yourself, or choose a segmenter for them"
        ]
    }

    /// Segments `input` by the compact network.
    ///
    /// - Throws: `SegmentationError`.
    func find(_ input: SegmenterInput, progress: (Int, Int) -> Void = { _, _ in }) throws -> SegmenterResult {
        let segmenter = try loaded ?? recipe.loadEmbedded(precision: precision)
        loaded = segmenter
        do {
            return try segmenter.segment(input, progress: progress)
        } catch SegmentationError.unsuitable(_, let reason) {
            throw SegmentationError.unsuitable(
                segmenter: asked, reason: "\(name), which finds its prompts, refuses the input: \(reason)")
        }
    }
}
