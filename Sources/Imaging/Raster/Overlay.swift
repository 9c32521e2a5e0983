// SPDX-License-Identifier: Apache-2.0

/// Pictures of an answer: the source, with the outline of the mask and a translucent fill over it.
public enum Overlay {
    /// The longest side of a frame's picture; larger frames are reduced by a whole factor.
    private static let longestSide = 800
    /// The shortest side of a frame's picture; smaller frames are enlarged by a whole factor of at most 8.
    private static let shortestSide = 240
    /// The longest side of a tile of a contact sheet.
    private static let tileSide = 240

    /// Draws one frame with its mask.
    ///
    /// Grey values between the 1st and 99th percentile fill the range of the picture. RGB keeps its values.
    ///
    /// - Parameters:
    ///   - frame: the source.
    ///   - mask: of the frame's size.
    ///   - color: the colour of outline and fill.
    /// - Returns: an RGB picture.
    public static func picture(of frame: Frame, mask: Mask, color: DisplayColor) -> Picture {
        precondition(mask.rows == frame.rows && mask.columns == frame.columns, "the mask has the frame's size")
        let window = frame.channels == 1 ? GreyWindow(percentilesOf: frame.samples.floats) : GreyWindow.whole
        let side = max(frame.rows, frame.columns)
        let base = side > longestSide ? (side + longestSide - 1) / longestSide : 1
        let enlargement = side < shortestSide ? min(8, (shortestSide + side - 1) / side) : 1
        let reduced =
            if let bytes = frame.samples.bytes, frame.channels == 3, base <= min(frame.rows, frame.columns), base < 64 {
                ReducedPicture(bytes, rows: frame.rows, columns: frame.columns, by: base)
            } else {
                ReducedPicture(
                    frame.samples.floats[...], rows: frame.rows, columns: frame.columns, channels: frame.channels,
                    window: window, by: base)
            }
        return render(
            reduced, rows: frame.rows, columns: frame.columns, mask: mask.pixels[...], reduction: base,
            enlargement: enlargement, color: color)
    }

    /// Draws slices of a volume as tiles in reading order, each with its number in the upper left corner.
    ///
    /// Slices are counted from 1, as prompts and notes count them.
    ///
    /// The slices are spread from the first to the last that has a mask or is prompted, or over the volume if there is
    /// none. A prompted slice takes the place of its neighbour, and has a star behind its number.
    ///
    /// - Parameters:
    ///   - volume: the source.
    ///   - masks: one per slice, of its size.
    ///   - prompted: the indices of prompted slices.
    ///   - color: the colour of outline and fill.
    ///   - tiles: the largest number of slices.
    /// - Returns: an RGB picture.
    public static func contactSheet(
        of volume: Volume, masks: [Mask], prompted: [Int] = [], color: DisplayColor, tiles: Int = 12
    ) -> Picture {
        precondition(masks.count == volume.slices, "there is one mask for each slice")
        let chosen = slices(of: masks, prompted: prompted, atMost: tiles)
        let window = GreyWindow(percentilesOf: volume.voxels)
        let side = max(volume.rows, volume.columns)
        let reduction = (side + tileSide - 1) / tileSide
        let enlargement = min(8, max(1, tileSide / 2 / side))
        let plane = volume.rows * volume.columns
        let pictures = chosen.map { slice in
            render(
                ReducedPicture(
                    volume.voxels[slice * plane..<(slice + 1) * plane], rows: volume.rows, columns: volume.columns,
                    channels: 1, window: window, by: reduction),
                rows: volume.rows, columns: volume.columns, mask: masks[slice].pixels[...], reduction: reduction,
                enlargement: enlargement, color: color)
        }
        return montage(
            pictures, labels: chosen.map { "\($0 + 1)\(prompted.contains($0) ? "*" : "")" },
            across: Int(Double(chosen.count).squareRoot().rounded(.up)))
    }

    /// The slices of a contact sheet, in order.
    private static func slices(of masks: [Mask], prompted: [Int], atMost tiles: Int) -> [Int] {
        let shown = masks.indices.filter { !masks[$0].isEmpty || prompted.contains($0) }
        let range = shown.isEmpty ? Array(masks.indices) : Array(shown[0]...shown[shown.count - 1])
        let count = min(tiles, range.count)
        var chosen = (0..<count).map { range[count == 1 ? range.count / 2 : $0 * (range.count - 1) / (count - 1)] }
        for slice in prompted where !chosen.contains(slice) {
            let others = chosen.indices.filter { !prompted.contains(chosen[$0]) }
            guard let nearest = others.min(by: { abs(chosen[$0] - slice) < abs(chosen[$1] - slice) }) else { break }
            chosen[nearest] = slice
        }
        return chosen.sorted()
    }

    /// Joins pictures of one size, `across` in a row, with 2 black pixels between them and labels in their corners.
    private static func montage(_ pictures: [Picture], labels: [String], across: Int) -> Picture {
        let (height, width) = (pictures[0].rows + 2, pictures[0].columns + 2)
        let down = (pictures.count + across - 1) / across
        let (rows, columns) = (down * height - 2, across * width - 2)
        var samples = [UInt8](repeating: 0, count: rows * columns * 3)
        for (index, picture) in pictures.enumerated() {
            let (top, left) = (index / across * height, index % across * width)
            for row in 0..<picture.rows {
                let line = picture.samples[row * picture.columns * 3..<(row + 1) * picture.columns * 3]
                let start = ((top + row) * columns + left) * 3
                samples.replaceSubrange(start..<start + line.count, with: line)
            }
            // Black around the characters keeps them legible on bright tissue.
            let label = Array(labels[index])
            for row in 0..<min(PixelFont.height, picture.rows) {
                for column in 0..<min(label.count * PixelFont.width, picture.columns) {
                    let isSet = PixelFont.isSet(
                        label[column / PixelFont.width], row: row, column: column % PixelFont.width)
                    let start = ((top + row) * columns + left + column) * 3
                    for channel in 0..<3 { samples[start + channel] = isSet ? 255 : 0 }
                }
            }
        }
        return Picture(rows: rows, columns: columns, channels: 3, samples: samples)
    }

    /// Draws the mask, `[rows, columns]` of the source, over the source reduced by a factor.
    private static func render(
        _ source: ReducedPicture, rows: Int, columns: Int, mask: ArraySlice<UInt8>, reduction: Int, enlargement: Int,
        color: DisplayColor
    ) -> Picture {
        let (height, width) = (source.rows * enlargement, source.columns * enlargement)
        let inside = [Bool](unsafeUninitializedCapacity: height * width) { inside, filled in
            filled = inside.count
            mask.withUnsafeBufferPointer { mask in
                for y in 0..<height {
                    let line = min(y / enlargement * reduction + reduction / 2, rows - 1) * columns
                    for x in 0..<width {
                        let column = min(x / enlargement * reduction + reduction / 2, columns - 1)
                        inside[y * width + x] = mask[line + column] != 0
                    }
                }
            }
        }
        let tint = [color.red, color.green, color.blue].map(Float.init)
        var pixels = source.enlarged(by: enlargement)
        pixels.withUnsafeMutableBufferPointer { pixels in
            for row in 0..<height {
                for column in 0..<width where inside[row * width + column] {
                    let share: Float = isEdge(inside, row, column, height, width) ? 1 : 0.25
                    for channel in 0..<3 {
                        let mean = source.mean(row / enlargement, column / enlargement, channel)
                        let value = mean * (1 - share) + tint[channel] * share
                        pixels[(row * width + column) * 3 + channel] = UInt8(min(max(value.rounded(), 0), 255))
                    }
                }
            }
        }
        return Picture(rows: height, columns: width, channels: 3, samples: pixels)
    }

    /// Whether a pixel of the mask has a neighbour outside the mask; the border of the picture counts as inside.
    private static func isEdge(_ inside: [Bool], _ row: Int, _ column: Int, _ height: Int, _ width: Int) -> Bool {
        for (y, x) in [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        where y >= 0 && y < height && x >= 0 && x < width {
            if !inside[y * width + x] { return true }
        }
        return false
    }
}

/// The mean colours of squares of pixels, at least one square.
private struct ReducedPicture {
    /// The number of rows of squares.
    let rows: Int
    /// The number of columns of squares.
    let columns: Int
    /// The means rounded to whole numbers, `[rows, columns, 3]`.
    private let levels: [UInt8]
    /// The mean of a square, 0...255, by row, column and channel.
    let mean: (Int, Int, Int) -> Float

    /// Reduces `[rows, columns, channels]` values, of which a window makes grey levels.
    init(
        _ samples: ArraySlice<Float>, rows: Int, columns: Int, channels: Int, window: GreyWindow, by reduction: Int
    ) {
        let (height, width) = (max(rows / reduction, 1), max(columns / reduction, 1))
        var means = [Float](repeating: 0, count: height * width * 3)
        samples.withUnsafeBufferPointer { samples in
            for row in 0..<height {
                for column in 0..<width {
                    let (top, left) = (row * reduction, column * reduction)
                    for channel in 0..<3 {
                        var sum: Float = 0
                        var count: Float = 0
                        for y in top..<min(top + reduction, rows) {
                            for x in left..<min(left + reduction, columns) {
                                let index = (y * columns + x) * channels + (channels == 3 ? channel : 0)
                                sum += window.grey(samples[index])
                                count += 1
                            }
                        }
                        means[(row * width + column) * 3 + channel] = sum / count
                    }
                }
            }
        }
        (self.rows, self.columns) = (height, width)
        levels = means.map { UInt8($0 + 0.5) }
        mean = { means[($0 * width + $1) * 3 + $2] }
    }

    /// Reduces RGB bytes, `[rows, columns, 3]`, by a factor below 64 that is not greater than a side.
    init(_ bytes: [UInt8], rows: Int, columns: Int, by reduction: Int) {
        let (height, width, line) = (rows / reduction, columns / reduction, columns * 3)
        let count = UInt64(reduction * reduction)
        // Rounded up, so that halves round up: the error of a mean is less than half a step between means.
        let inverse = ((1 << 24) + count - 1) / count
        var sums = [UInt16](repeating: 0, count: line)
        levels = [UInt8](unsafeUninitializedCapacity: height * width * 3) { levels, filled in
            filled = levels.count
            bytes.withUnsafeBufferPointer { bytes in
                sums.withUnsafeMutableBufferPointer { sums in
                    for row in 0..<height {
                        for index in 0..<line { sums[index] = 0 }
                        for source in row * reduction..<(row + 1) * reduction {
                            let start = source * line
                            for index in 0..<line { sums[index] &+= UInt16(bytes[start + index]) }
                        }
                        for column in 0..<width {
                            var (red, green, blue) = (UInt64(0), UInt64(0), UInt64(0))
                            for pixel in column * reduction..<(column + 1) * reduction {
                                red &+= UInt64(sums[3 * pixel])
                                green &+= UInt64(sums[3 * pixel + 1])
                                blue &+= UInt64(sums[3 * pixel + 2])
                            }
                            let place = (row * width + column) * 3
                            levels[place] = UInt8(truncatingIfNeeded: (red &* inverse &+ (1 << 23)) >> 24)
                            levels[place + 1] = UInt8(truncatingIfNeeded: (green &* inverse &+ (1 << 23)) >> 24)
                            levels[place + 2] = UInt8(truncatingIfNeeded: (blue &* inverse &+ (1 << 23)) >> 24)
                        }
                    }
                }
            }
        }
        (self.rows, self.columns) = (height, width)
        mean = { row, column, channel in
            var sum = 0
            for y in row * reduction..<(row + 1) * reduction {
                for x in column * reduction..<(column + 1) * reduction { sum += Int(bytes[y * line + x * 3 + channel]) }
            }
            return Float(sum) / Float(count)
        }
    }

    /// The levels with each square repeated, `[rows * factor, columns * factor, 3]`.
    func enlarged(by factor: Int) -> [UInt8] {
        guard factor > 1 else { return levels }
        let width = columns * factor
        return [UInt8](unsafeUninitializedCapacity: rows * factor * width * 3) { pixels, filled in
            filled = pixels.count
            for row in 0..<rows * factor {
                for column in 0..<width {
                    let source = (row / factor * columns + column / factor) * 3
                    for channel in 0..<3 { pixels[(row * width + column) * 3 + channel] = levels[source + channel] }
                }
            }
        }
    }
}
