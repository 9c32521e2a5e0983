// SPDX-License-Identifier: Apache-2.0

package import Imaging

/// Prompts from a mask that another network has found.
package enum MaskPrompter {
    /// At most so many objects of a frame are asked for,
    package static let mostObjects = 8
    /// and none that is smaller than this share of the largest.
    package static let smallestShare = 0.05

    /// The box around the pixels that are set, by the indices of the outermost ones, both included; `nil` for none.
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

    /// The connected objects of a mask, the largest first, without the negligible ones.
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

    /// The pixel that is farthest from everything outside, the image's edge included; of equals the first. Its indices.
    package static func innermost(_ pixels: [UInt8], columns: Int) -> LabeledPoint? {
        guard let box = box(pixels, columns: columns) else { return nil }
        let (left, top) = (Int(box.x0), Int(box.y0))
        // The object's box with a border of outside.
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

    /// Of every pixel to the nearest one outside (Meijster 2000): down the columns, then along the rows.
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
                // No column farther away than the best can be nearer.
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
