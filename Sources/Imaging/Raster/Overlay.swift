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
        let window = frame.channels == 1 ? GreyWindow(percentilesOf: frame.samples) : GreyWindow.whole
        let side = max(frame.rows, frame.columns)
        let base = side > longestSide ? (side + longestSide - 1) / longestSide : 1
        let enlargement = side < shortestSide ? min(8, (shortestSide + side - 1) / side) : 1
        return render(
            frame.samples[...], rows: frame.rows, columns: frame.columns, channels: frame.channels,
            mask: mask.pixels[...],
            window: window, reduction: base, enlargement: enlargement, color: color)
    }

    /// Draws slices of a volume as tiles in reading order.
    ///
    /// The slices are spread from the first to the last that has a mask, or over the volume if all masks are empty.
    ///
    /// - Parameters:
    ///   - volume: the source.
    ///   - masks: one per slice, of its size.
    ///   - color: the colour of outline and fill.
    ///   - tiles: the largest number of slices.
    /// - Returns: an RGB picture.
    public static func contactSheet(of volume: Volume, masks: [Mask], color: DisplayColor, tiles: Int = 12) -> Picture {
        precondition(masks.count == volume.slices, "there is one mask for each slice")
        let occupied = masks.indices.filter { !masks[$0].isEmpty }
        let range = occupied.isEmpty ? Array(masks.indices) : Array(occupied[0]...occupied[occupied.count - 1])
        let count = min(tiles, range.count)
        let chosen = (0..<count).map { range[count == 1 ? range.count / 2 : $0 * (range.count - 1) / (count - 1)] }
        let window = GreyWindow(percentilesOf: volume.voxels)
        let side = max(volume.rows, volume.columns)
        let reduction = (side + tileSide - 1) / tileSide
        let enlargement = min(8, max(1, tileSide / 2 / side))
        let plane = volume.rows * volume.columns
        let pictures = chosen.map { slice in
            render(
                volume.voxels[slice * plane..<(slice + 1) * plane], rows: volume.rows, columns: volume.columns,
                channels: 1, mask: masks[slice].pixels[...], window: window, reduction: reduction,
                enlargement: enlargement, color: color)
        }
        return montage(pictures, across: Int(Double(count).squareRoot().rounded(.up)))
    }

    /// Joins pictures of one size, `across` in a row, with 2 black pixels between them.
    private static func montage(_ pictures: [Picture], across: Int) -> Picture {
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
        }
        return Picture(rows: rows, columns: columns, channels: 3, samples: samples)
    }

    private static func render(
        _ samples: ArraySlice<Float>, rows: Int, columns: Int, channels: Int, mask: ArraySlice<UInt8>,
        window: GreyWindow,
        reduction: Int, enlargement: Int, color: DisplayColor
    ) -> Picture {
        let height = max(rows / reduction, 1) * enlargement
        let width = max(columns / reduction, 1) * enlargement
        let inside = (0..<height * width).map { pixel -> Bool in
            let row = min(pixel / width / enlargement * reduction + reduction / 2, rows - 1)
            let column = min(pixel % width / enlargement * reduction + reduction / 2, columns - 1)
            return mask[mask.startIndex + row * columns + column] != 0
        }
        let tint = [color.red, color.green, color.blue].map(Float.init)
        var pixels = [UInt8](repeating: 0, count: height * width * 3)
        for row in 0..<height {
            for column in 0..<width {
                let pixel = row * width + column
                let share: Float = inside[pixel] ? (isEdge(inside, row, column, height, width) ? 1 : 0.25) : 0
                let (top, left) = (row / enlargement * reduction, column / enlargement * reduction)
                for channel in 0..<3 {
                    var sum: Float = 0
                    var count: Float = 0
                    for y in top..<min(top + reduction, rows) {
                        for x in left..<min(left + reduction, columns) {
                            let index = (y * columns + x) * channels + (channels == 3 ? channel : 0)
                            sum += window.grey(samples[samples.startIndex + index])
                            count += 1
                        }
                    }
                    let value = sum / count * (1 - share) + tint[channel] * share
                    pixels[pixel * 3 + channel] = UInt8(min(max(value.rounded(), 0), 255))
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
