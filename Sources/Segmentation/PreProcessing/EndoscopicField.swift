// SPDX-License-Identifier: Apache-2.0
//
// The endoscopic field of a frame, as in training/recipes/endoscopic_field.py.
//
// A capture box shows the endoscope's picture inside a dark border. Text, a second picture or the drawing of the
// endoscope's position may stand in the border, and cover a corner of the picture. A network that sees the border sees
// the picture smaller and stretched, and may lose what it shows.
//
// 1. The level of the border is a low quantile of the brightness (the largest of R, G, B) along the frame's edge. If that
//    is not dark, the frame does not have a border.
// 2. A pixel is lit if it is brighter than the border by `step`. A cell of about a 64th of the frame is lit if more than
//    half of its pixels are; the strokes of text are too thin for that.
// 3. Flat rectangles of one colour that tissue does not have are graphics. They are not part of the field.
// 4. The largest component of the other lit cells is the field. Its outline is the convex hull of its lit pixels, so that
//    dark places inside belong to it. A small component is not a field: the frame is then taken whole.

package import Imaging
package import Inference

/// The part of a frame that shows the endoscope's picture.
///
/// A frame without a border is its own field.
package struct EndoscopicField: Sendable, Equatable {
    /// The share of the edge's pixels that are at most as bright as the border.
    static let edgeRank = 0.1
    /// A brighter edge, 0...255, does not belong to a border.
    static let darkest: Float = 34
    /// The difference of brightness by which a lit pixel differs from the border.
    static let step: Float = 14
    /// The number of cells along the shorter side.
    static let cells = 64
    /// A component of less than this share of the cells is not a field.
    static let smallest = 0.06

    /// The number of rows of the frame.
    package let rows: Int
    /// The number of columns of the frame.
    package let columns: Int
    /// The smallest rectangle that contains the field, its end excluded.
    package let box: PixelBox
    /// The field's columns in each row of `box`; empty if the field is the whole frame.
    private let spans: [Range<Int>]
    /// Rectangles inside `box` that do not belong to the field, their ends excluded.
    private let graphics: [PixelBox]
    /// The value of black pixels.
    private let black: Float

    /// The field of a whole frame.
    private init(wholeOf frame: Frame) {
        (rows, columns) = (frame.rows, frame.columns)
        box = PixelBox(x0: 0, y0: 0, x1: columns, y1: rows)
        (spans, graphics, black) = ([], [], 0)
    }

    /// Finds the field of a frame with finite values.
    package init(of frame: Frame) {
        let whole = Self(wholeOf: frame)
        self = frame.samples.withUnsafeBuffers { bytes, floats in
            let pixels = BrightPixels(frame, bytes, floats)
            let level = pixels.edgeLevel(rank: Self.edgeRank)
            guard level <= Self.darkest else { return whole }
            var grid = CellGrid(pixels, lit: level + Self.step, across: Self.cells)
            let graphics = grid.removeGraphics()
            guard grid.keepLargest() >= Self.smallest else { return whole }
            return Self(pixels, grid, graphics) ?? whole
        }
    }

    /// Finds the field of a frame in which a person has given a prompt: the whole frame if the prompt lies beside it.
    init(of frame: Frame, showing prompt: GivenPrompt) {
        let field = Self(of: frame)
        self = prompt.lies(in: field.box) ? field : Self(wholeOf: frame)
    }

    /// The field around the lit pixels of a grid's cells; `nil` if they are too few for one.
    private init?(_ pixels: BrightPixels, _ grid: CellGrid, _ graphics: [PixelBox]) {
        let across = grid.extents(pixels, alongRows: true)
        let down = grid.extents(pixels, alongRows: false)
        guard let y0 = across.firstIndex(where: { $0.count >= grid.size }),
            let y1 = across.lastIndex(where: { $0.count >= grid.size }),
            let x0 = down.firstIndex(where: { $0.count >= grid.size }),
            let x1 = down.lastIndex(where: { $0.count >= grid.size })
        else { return nil }
        (rows, columns) = (pixels.rows, pixels.columns)
        let box = PixelBox(x0: x0, y0: y0, x1: x1 + 1, y1: y1 + 1)
        let ends = across[y0...y1].map { $0.clamped(to: x0..<x1 + 1) }
        guard let first = ends.firstIndex(where: { !$0.isEmpty }), let last = ends.lastIndex(where: { !$0.isEmpty })
        else { return nil }
        let shown = ends[first...last].map { $0.isEmpty ? nil : $0 }
        let left = Self.envelope(shown.map { $0?.lowerBound })
        let right = Self.envelope(shown.map { $0.map { -$0.upperBound } })
        spans =
            [Range<Int>](repeating: x0..<x0, count: first) + zip(left, right).map { $0..<max($0, -$1) }
            + [Range<Int>](repeating: x0..<x0, count: ends.count - 1 - last)
        self.box = box
        black = pixels.black
        self.graphics = graphics.compactMap { graphic in
            let part = PixelBox(
                x0: max(graphic.x0, box.x0), y0: max(graphic.y0, box.y0), x1: min(graphic.x1, box.x1),
                y1: min(graphic.y1, box.y1))
            return part.width > 0 && part.height > 0 ? part : nil
        }
    }

    /// Finds the greatest convex sequence that is nowhere above the values.
    ///
    /// - Parameter values: one per row, `nil` for a row without one; the first and the last row have one.
    /// - Returns: one value per row, rounded down.
    private static func envelope(_ values: [Int?]) -> [Int] {
        var corners: [(row: Int, value: Int)] = []
        for (row, value) in values.enumerated() {
            guard let value else { continue }
            while let last = corners.last, let before = corners.dropLast().last,
                (last.value - before.value) * (row - before.row) >= (value - before.value) * (last.row - before.row)
            {
                corners.removeLast()
            }
            corners.append((row, value))
        }
        var sequence = corners.first.map { [$0.value] } ?? []
        for (start, end) in zip(corners, corners.dropFirst()) {
            for row in start.row + 1...end.row {
                let share = Double(row - start.row) / Double(end.row - start.row)
                sequence.append(Int((Double(start.value) + share * Double(end.value - start.value)).rounded(.down)))
            }
        }
        return sequence
    }

    /// Whether the field is the whole frame.
    package var isWhole: Bool { spans.isEmpty }

    /// The frame inside `box`, with black outside the field.
    package func picture(of frame: Frame) -> Frame {
        if isWhole { return frame }
        let (height, width, channels) = (box.height, box.width, frame.channels)
        if let bytes = frame.samples.bytes {
            return Frame(rows: height, columns: width, channels: channels, bytes: cut(bytes, channels, black: 0))
        }
        return Frame(
            rows: height, columns: width, channels: channels, samples: cut(frame.samples.floats, channels, black: black)
        )
    }

    /// The samples inside `box`, `[box.height, box.width, channels]`, with black outside the field.
    private func cut<Value>(_ samples: [Value], _ channels: Int, black: Value) -> [Value] {
        var part = [Value](repeating: black, count: box.width * box.height * channels)
        for (row, span) in spans.enumerated() where !span.isEmpty {
            let source = ((row + box.y0) * columns + span.lowerBound) * channels
            let target = (row * box.width + span.lowerBound - box.x0) * channels
            part.replaceSubrange(
                target..<target + span.count * channels, with: samples[source..<source + span.count * channels])
        }
        for graphic in graphics {
            for row in graphic.y0 - box.y0..<graphic.y1 - box.y0 {
                let start = (row * box.width + graphic.x0 - box.x0) * channels
                for index in start..<start + graphic.width * channels { part[index] = black }
            }
        }
        return part
    }

    /// Values of the picture on the frame, with zeros outside the field.
    ///
    /// - Parameter values: `[box.height, box.width]`.
    /// - Returns: `[rows, columns]`.
    package func placed<Value: Numeric>(_ values: [Value]) -> [Value] {
        if isWhole { return values }
        var placed = [Value](repeating: 0, count: rows * columns)
        for (row, span) in spans.enumerated() where !span.isEmpty {
            let source = row * box.width + span.lowerBound - box.x0
            let target = (row + box.y0) * columns + span.lowerBound
            placed.replaceSubrange(target..<target + span.count, with: values[source..<source + span.count])
        }
        for graphic in graphics {
            for row in graphic.y0..<graphic.y1 {
                for index in row * columns + graphic.x0..<row * columns + graphic.x1 { placed[index] = 0 }
            }
        }
        return placed
    }

    /// An answer for the picture on the frame, empty outside the field.
    func placed(_ answer: ImageAnswer) -> ImageAnswer {
        if isWhole { return answer }
        var whole = ImageAnswer(rows: rows, columns: columns)
        (whole.mask, whole.probabilities) = (placed(answer.mask), placed(answer.probabilities))
        return whole
    }

    /// A mask of the picture on the frame, empty outside the field.
    func placed(_ mask: RunLengths) -> RunLengths {
        if isWhole { return mask }
        return RunLengths(height: rows, width: columns, pixels: placed(mask.pixels))
    }

    /// The part of a mask of the frame inside `box`.
    func cut(_ mask: Mask) -> Mask {
        if isWhole { return mask }
        var pixels: [UInt8] = []
        pixels.reserveCapacity(box.width * box.height)
        for row in box.y0..<box.y1 { pixels += mask.pixels[row * columns + box.x0..<row * columns + box.x1] }
        return Mask(rows: box.height, columns: box.width, pixels: pixels)
    }
}

/// The brightness of a frame's pixels, 0...255.
///
/// Values beyond that range are stretched, as a network's input is.
private struct BrightPixels {
    let rows: Int
    let columns: Int
    let channels: Int
    /// One of the two holds the samples.
    private let bytes: UnsafeBufferPointer<UInt8>?
    private let floats: UnsafeBufferPointer<Float>?
    /// The value of a black pixel.
    let black: Float
    private let scale: Float

    init(_ frame: Frame, _ bytes: UnsafeBufferPointer<UInt8>?, _ floats: UnsafeBufferPointer<Float>?) {
        (rows, columns, channels) = (frame.rows, frame.columns, frame.channels)
        (self.bytes, self.floats) = (bytes, floats)
        // Every eighth row shows whether a picture has more than 8 bits.
        let width = columns * channels
        let rows = rows
        let isBeyond =
            floats.map { floats in
                stride(from: 0, to: rows, by: 8).contains { row in
                    floats[row * width..<(row + 1) * width].contains { $0 < 0 || $0 > 255 }
                }
            } ?? false
        let (least, greatest) = isBeyond ? frame.samples.bounds : (0, 255)
        (black, scale) = (least, greatest > least ? 255 / (greatest - least) : 0)
    }

    /// The red, green and blue of a pixel, or three times its grey.
    func colour(_ row: Int, _ column: Int) -> SIMD3<Float> {
        let index = (row * columns + column) * channels
        if let bytes {
            return channels == 3
                ? SIMD3(Float(bytes[index]), Float(bytes[index + 1]), Float(bytes[index + 2]))
                : SIMD3(repeating: Float(bytes[index]))
        }
        guard let floats else { return SIMD3() }
        let values =
            channels == 3
            ? SIMD3(floats[index], floats[index + 1], floats[index + 2]) : SIMD3(repeating: floats[index])
        return (values - black) * scale
    }

    func brightness(_ row: Int, _ column: Int) -> Float { colour(row, column).max() }

    /// The brightness that the share `rank` of the edge's pixels does not exceed.
    func edgeLevel(rank: Double) -> Float {
        var edge: [Float] = []
        edge.reserveCapacity(2 * (rows + columns))
        for column in 0..<columns {
            edge.append(brightness(0, column))
            if rows > 1 { edge.append(brightness(rows - 1, column)) }
        }
        for row in 1..<max(1, rows - 1) {
            edge.append(brightness(row, 0))
            if columns > 1 { edge.append(brightness(row, columns - 1)) }
        }
        edge.sort()
        return edge[Int(rank * Double(edge.count - 1))]
    }
}

/// A frame divided into square cells, some of them lit.
private struct CellGrid {
    /// Pixels along each side of a cell; cells at the right and lower end may be smaller.
    let size: Int
    private let rows: Int
    private let columns: Int
    /// The brightness above which a pixel is lit.
    private let lit: Float
    /// Whether each cell is lit, `[rows, columns]`.
    private var isLit: [Bool]
    /// Whether each cell has one colour that tissue does not have.
    private var isForeign: [Bool]
    /// The mean colour of each cell.
    private var means: [SIMD3<Float>]
    /// Whether each cell belongs to a graphic or touches one.
    private var isGraphic: [Bool]

    /// More than this share of a lit cell's pixels is lit.
    private static let share = 0.5
    /// The largest difference in one channel inside a cell of one colour, and between the cells of a graphic.
    ///
    /// Compression changes flat colours. Dyed tissue changes from cell to cell.
    private static let flat: Float = 20
    /// The least difference by which green or blue exceeds red in a colour that tissue does not have.
    private static let foreign: Float = 24
    /// A graphic takes at least this share of the cells, and of its bounding rectangle.
    private static let leastGraphic = (ofCells: 0.005, ofRectangle: 0.75)

    init(_ pixels: BrightPixels, lit: Float, across cells: Int) {
        let size = max(1, min(pixels.rows, pixels.columns) / cells)
        self.size = size
        rows = (pixels.rows + size - 1) / size
        columns = (pixels.columns + size - 1) / size
        self.lit = lit
        (isLit, isForeign, means) = ([], [], [])
        isGraphic = [Bool](repeating: false, count: rows * columns)
        // Six by six pixels of a cell are enough.
        let step = max(1, size / 6)
        for row in 0..<rows {
            for column in 0..<columns {
                var (count, bright) = (0, 0)
                var (sum, least, most) = (SIMD3<Float>(), SIMD3<Float>(repeating: 255), SIMD3<Float>())
                for y in stride(from: row * size, to: min((row + 1) * size, pixels.rows), by: step) {
                    for x in stride(from: column * size, to: min((column + 1) * size, pixels.columns), by: step) {
                        let colour = pixels.colour(y, x)
                        count += 1
                        if colour.max() > lit { bright += 1 }
                        sum += colour
                        least = pointwiseMin(least, colour)
                        most = pointwiseMax(most, colour)
                    }
                }
                let isLit = Double(bright) > Self.share * Double(count)
                let mean = sum / Float(count)
                self.isLit.append(isLit)
                means.append(mean)
                isForeign.append(
                    isLit && max(mean.y, mean.z) - mean.x > Self.foreign && (most - least).max() <= Self.flat)
            }
        }
    }

    /// Takes graphics, with the cells around them, out of the lit cells.
    ///
    /// - Returns: their rectangles in pixels, which may reach beyond the frame; ends are excluded.
    mutating func removeGraphics() -> [PixelBox] {
        var found: [PixelBox] = []
        let count = Double(rows * columns)
        for part in components(of: isForeign) {
            let (xs, ys) = (part.map { $0 % columns }, part.map { $0 / columns })
            guard let x0 = xs.min(), let x1 = xs.max(), let y0 = ys.min(), let y1 = ys.max() else { continue }
            let rectangle = Double((x1 - x0 + 1) * (y1 - y0 + 1))
            guard Double(part.count) >= Self.leastGraphic.ofCells * count,
                Double(part.count) >= Self.leastGraphic.ofRectangle * rectangle
            else { continue }
            let (least, most) = part.reduce((means[part[0]], means[part[0]])) { bounds, cell in
                (pointwiseMin(bounds.0, means[cell]), pointwiseMax(bounds.1, means[cell]))
            }
            guard (most - least).max() <= Self.flat else { continue }
            for row in max(0, y0 - 1)...min(rows - 1, y1 + 1) {
                for column in max(0, x0 - 1)...min(columns - 1, x1 + 1) {
                    isLit[row * columns + column] = false
                    isGraphic[row * columns + column] = true
                }
            }
            found.append(
                PixelBox(
                    x0: (x0 - 1) * size, y0: (y0 - 1) * size, x1: (x1 + 2) * size, y1: (y1 + 2) * size))
        }
        return found
    }

    /// Keeps the largest component of the lit cells.
    ///
    /// - Returns: its share of all cells.
    mutating func keepLargest() -> Double {
        let largest = components(of: isLit).max { $0.count < $1.count } ?? []
        isLit = [Bool](repeating: false, count: isLit.count)
        for cell in largest { isLit[cell] = true }
        return Double(largest.count) / Double(rows * columns)
    }

    /// The cells of each component of set cells that touch along a side.
    private func components(of cells: [Bool]) -> [[Int]] {
        var (rest, found) = (cells, [[Int]]())
        for start in cells.indices where rest[start] {
            var component = [start]
            rest[start] = false
            var next = 0
            while next < component.count {
                let (row, column) = (component[next] / columns, component[next] % columns)
                next += 1
                for (y, x) in [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
                where (0..<rows).contains(y) && (0..<columns).contains(x) && rest[y * columns + x] {
                    rest[y * columns + x] = false
                    component.append(y * columns + x)
                }
            }
            found.append(component)
        }
        return found
    }

    /// From the first to the last lit pixel of each row or column of the frame, in the lit cells and their neighbours.
    ///
    /// - Returns: one range per row or column, end excluded; empty if no pixel is lit.
    func extents(_ pixels: BrightPixels, alongRows: Bool) -> [Range<Int>] {
        let (lines, length) = alongRows ? (pixels.rows, pixels.columns) : (pixels.columns, pixels.rows)
        let near = (0..<(lines + size - 1) / size).map { nearCells($0, alongRows: alongRows) }
        return (0..<lines).map { line in
            let cells = near[line / size]
            guard let firstCell = cells.firstIndex(of: true), let lastCell = cells.lastIndex(of: true) else {
                return 0..<0
            }
            func isInside(_ place: Int) -> Bool {
                (alongRows ? pixels.brightness(line, place) : pixels.brightness(place, line)) > lit
                    && cells[place / size]
            }
            let places = firstCell * size..<min((lastCell + 1) * size, length)
            guard let first = places.first(where: isInside), let last = places.last(where: isInside) else {
                return 0..<0
            }
            return first..<last + 1
        }
    }

    /// Whether each cell of a row or column of cells is lit or touches a lit one, and is not part of a graphic.
    private func nearCells(_ line: Int, alongRows: Bool) -> [Bool] {
        (0..<(alongRows ? columns : rows)).map { place in
            let (row, column) = alongRows ? (line, place) : (place, line)
            guard !isGraphic[row * columns + column] else { return false }
            for y in max(0, row - 1)...min(rows - 1, row + 1) {
                for x in max(0, column - 1)...min(columns - 1, column + 1) where isLit[y * columns + x] { return true }
            }
            return false
        }
    }
}
