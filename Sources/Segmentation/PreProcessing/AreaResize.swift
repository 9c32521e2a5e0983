// SPDX-License-Identifier: Apache-2.0
//
// OpenCV's `resize(INTER_AREA)` of 8-bit pictures (imgproc, resize.cpp).
//
// Shrinking takes the mean over the output pixel's area. Enlarging uses a linear interpolation with
// fixed-point numbers of 11 bits. Its sample positions and numbers differ from those of
// INTER_LINEAR.

/// OpenCV's `resize(INTER_AREA)`.
package enum AreaResize {
    /// Resizes a picture to `rows` x `columns`.
    package static func resize(_ image: ByteImage, rows: Int, columns: Int) -> ByteImage {
        if rows == image.rows, columns == image.columns { return image }
        let vertical = 1 / (Double(rows) / Double(image.rows))
        let horizontal = 1 / (Double(columns) / Double(image.columns))
        let values =
            vertical >= 1 && horizontal >= 1
            ? shrunk(image, rows, columns, vertical, horizontal)
            : enlarged(image, rows, columns, vertical, horizontal)
        return ByteImage(rows: rows, columns: columns, channels: image.channels, values: values)
    }

    // MARK: shrinking

    private static func shrunk(
        _ image: ByteImage, _ rows: Int, _ columns: Int, _ vertical: Double, _ horizontal: Double
    ) -> [UInt8] {
        let (across, down) = (cells(image.columns, columns, horizontal), cells(image.rows, rows, vertical))
        let (width, channels) = (columns * image.channels, image.channels)
        let isHalved = vertical == 2 && horizontal == 2
        var output = [UInt8]()
        output.reserveCapacity(rows * width)
        var line = [Float](repeating: 0, count: width)
        var sum = line
        for cell in down {
            for index in sum.indices { sum[index] = 0 }
            for (row, share) in cell {
                for index in line.indices { line[index] = 0 }
                for (column, cell) in across.enumerated() {
                    for (source, weight) in cell {
                        let start = (row * image.columns + source) * channels
                        for channel in 0..<channels {
                            line[column * channels + channel] += Float(image.values[start + channel]) * weight
                        }
                    }
                }
                for index in sum.indices { sum[index] += share * line[index] }
            }
            // OpenCV rounds halves to the even number, except in the mean of 2 x 2, where it rounds
            // them upwards.
            let rounding: FloatingPointRoundingRule = isHalved ? .toNearestOrAwayFromZero : .toNearestOrEven
            for value in sum { output.append(UInt8(min(max(value.rounded(rounding), 0), 255))) }
        }
        return output
    }

    /// The inputs that each output of an axis covers, with their weights.
    private static func cells(_ count: Int, _ target: Int, _ scale: Double) -> [[(Int, Float)]] {
        (0..<target).map { i in
            let start = Double(i) * scale
            let end = start + scale
            let width = min(scale, Double(count) - start)
            let last = min(Int(end), count - 1)
            let first = min(Int(start.rounded(.up)), last)
            var cell = [(Int, Float)]()
            // OpenCV leaves out parts of less than a thousandth of an input.
            if Double(first) - start > 1e-3 { cell.append((first - 1, Float((Double(first) - start) / width))) }
            for index in first..<last { cell.append((index, Float(1 / width))) }
            if end - Double(last) > 1e-3 {
                cell.append((last, Float(min(min(end - Double(last), 1), width) / width)))
            }
            return cell
        }
    }

    // MARK: enlarging

    private static func enlarged(
        _ image: ByteImage, _ rows: Int, _ columns: Int, _ vertical: Double, _ horizontal: Double
    ) -> [UInt8] {
        let across = neighbours(image.columns, columns, horizontal)
        let down = neighbours(image.rows, rows, vertical)
        let channels = image.channels
        // Every row of the input after enlarging along it, in units of 2^-11.
        let lines = (0..<image.rows).map { row in
            across.flatMap { place, first, second in
                (0..<channels).map { channel in
                    let start = row * image.columns * channels + channel
                    let next = min(place + 1, image.columns - 1)
                    return Int32(image.values[start + place * channels]) * first
                        + Int32(image.values[start + next * channels]) * second
                }
            }
        }
        return down.flatMap { place, first, second in
            zip(lines[place], lines[min(place + 1, image.rows - 1)]).map { above, below in
                let sum = (first * (above >> 4)) >> 16 + (second * (below >> 4)) >> 16
                return UInt8(min(max((sum + 2) >> 2, 0), 255))
            }
        }
    }

    /// The input before each output of an axis, with the weights of this input and of the next one.
    private static func neighbours(_ count: Int, _ target: Int, _ scale: Double) -> [(Int, Int32, Int32)] {
        let inverse = Double(target) / Double(count)
        return (0..<target).map { i in
            var place = Int(Double(i) * scale)
            var share = Float(Double(i + 1) - Double(place + 1) * inverse)
            share = share <= 0 ? 0 : share - share.rounded(.down)
            if place >= count - 1 { (place, share) = (count - 1, 0) }
            return (place, Int32(((1 - share) * 2048).rounded()), Int32((share * 2048).rounded()))
        }
    }
}
