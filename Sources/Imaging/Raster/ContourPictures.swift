// SPDX-License-Identifier: Apache-2.0
//
// Pictures of an answer for viewers that do not show segmentations.

/// Pictures of one size, each with a frame, the contour of its mask burnt in, and a caption.
///
/// The frame lies unscaled at the top left, so a pixel of the picture is the same pixel of the frame. The caption lies in
/// a black band below the frame and hides nothing of it. The contour lies inside the mask: filling it gives the mask.
public struct ContourPictures: Sendable {
    /// The narrowest picture, pixels: the caption needs room beside a small frame.
    private static let leastColumns = 42 * PixelFont.width
    /// White that does not dazzle.
    private static let textLevel: UInt8 = 230

    /// Rows of each picture: the frame's, and those of the band.
    public let rows: Int
    /// Columns of each picture, an even number: the frame's, and a black margin if the frame is narrow.
    ///
    /// A picture then has an even number of bytes. dwv 0.35 shows a stack of pictures black if a byte is added to it.
    public let columns: Int
    /// The width of the contour, pixels.
    public let thickness: Int
    private let frameRows: Int
    private let frameColumns: Int
    /// The factor by which the font is enlarged.
    private let scale: Int
    /// The lines below each frame.
    private let lines: [[String]]
    private let color: DisplayColor

    /// Lays out the pictures of one stack.
    ///
    /// - Parameters:
    ///   - rows: rows of each frame.
    ///   - columns: columns of each frame.
    ///   - captions: for each picture, its lines. Lines that are too long are broken between words. The character
    ///     U+25A0 becomes a square in the contour's colour; other characters outside ASCII become question marks.
    ///   - color: the colour of the contour.
    public init(rows: Int, columns: Int, captions: [[String]], color: DisplayColor) {
        (frameRows, frameColumns) = (rows, columns)
        self.color = color
        thickness = max(1, (min(rows, columns) + 270) / 540)
        let scale = max(1, (columns + 480) / 960)
        self.scale = scale
        self.columns = max(columns + columns % 2, Self.leastColumns)
        let width = self.columns / scale / PixelFont.width - 1
        lines = captions.map { $0.flatMap { Self.broken($0, width: width) } }
        self.rows = rows + ((lines.map(\.count).max() ?? 0) * PixelFont.height + PixelFont.width) * scale
    }

    /// Breaks a line between words; a word that is longer than a line is broken inside.
    static func broken(_ text: String, width: Int) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? String(word) : " \(word)"
            while line.count > width {
                lines.append(String(line.prefix(width)))
                line.removeFirst(width)
            }
        }
        return line.isEmpty ? lines : lines + [line]
    }

    /// Draws one picture.
    ///
    /// Outside the contour, RGB keeps its values, rounded, and grey is shown through the window.
    ///
    /// - Parameters:
    ///   - index: the index of the caption.
    ///   - frame: the source.
    ///   - mask: of the frame's size.
    ///   - window: for a grey frame.
    /// - Returns: an RGB picture of `rows * columns` pixels.
    public func picture(_ index: Int, of frame: Frame, mask: Mask, window: GreyWindow) -> Picture {
        precondition(frame.rows == frameRows && frame.columns == frameColumns, "the frame has the size of the layout")
        precondition(mask.rows == frameRows && mask.columns == frameColumns, "the mask has the frame's size")
        let contour = mask.contour(thickness: thickness).pixels
        let tint = [color.red, color.green, color.blue]
        var pixels = [UInt8](repeating: 0, count: rows * columns * 3)
        pixels.withUnsafeMutableBufferPointer { target in
            for row in 0..<frameRows {
                for column in 0..<frameColumns {
                    let source = row * frameColumns + column
                    let start = (row * columns + column) * 3
                    for channel in 0..<3 {
                        target[start + channel] =
                            contour[source] != 0 ? tint[channel] : level(frame, source, channel, window)
                    }
                }
            }
        }
        for (place, line) in lines[index].enumerated() { draw(line, place: place, tint: tint, into: &pixels) }
        return Picture(rows: rows, columns: columns, channels: 3, samples: pixels)
    }

    /// The level of a frame's pixel without a contour, 0...255.
    private func level(_ frame: Frame, _ pixel: Int, _ channel: Int, _ window: GreyWindow) -> UInt8 {
        let value =
            frame.channels == 1 ? window.grey(frame.samples[pixel]) : frame.samples[pixel * 3 + channel]
        return value > 0 ? UInt8(min(value.rounded(), 255)) : 0
    }

    /// Draws one line of a caption.
    private func draw(_ line: String, place: Int, tint: [UInt8], into pixels: inout [UInt8]) {
        let top = frameRows + (place * PixelFont.height + PixelFont.width / 2) * scale
        for (index, character) in line.enumerated() {
            let left = (index * PixelFont.width + PixelFont.width / 2) * scale
            let shade = character == PixelFont.square ? tint : [UInt8](repeating: Self.textLevel, count: 3)
            for row in 0..<PixelFont.height * scale {
                for column in 0..<PixelFont.width * scale
                where PixelFont.isSet(character, row: row / scale, column: column / scale) {
                    let pixel = ((top + row) * columns + left + column) * 3
                    for channel in 0..<3 { pixels[pixel + channel] = shade[channel] }
                }
            }
        }
    }
}

extension Mask {
    /// The pixels of the mask from which a pixel outside the mask is at most `thickness` steps away.
    ///
    /// A step goes to one of the four neighbours. The border of the plane counts as outside, so that a contour is always
    /// closed and filling it gives the mask.
    public func contour(thickness: Int = 1) -> Mask {
        var inner = pixels
        for _ in 0..<thickness {
            let last = inner
            last.withUnsafeBufferPointer { last in
                inner.withUnsafeMutableBufferPointer { inner in
                    for row in 0..<rows {
                        for column in 0..<columns where last[row * columns + column] != 0 {
                            let place = row * columns + column
                            let isInside =
                                row > 0 && row < rows - 1 && column > 0 && column < columns - 1
                                && last[place - columns] != 0 && last[place + columns] != 0
                                && last[place - 1] != 0 && last[place + 1] != 0
                            if !isInside { inner[place] = 0 }
                        }
                    }
                }
            }
        }
        return Mask(rows: rows, columns: columns, pixels: zip(pixels, inner).map { $0 != 0 && $1 == 0 ? 1 : 0 })
    }
}
