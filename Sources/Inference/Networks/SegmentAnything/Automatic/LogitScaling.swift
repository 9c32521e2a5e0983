// SPDX-License-Identifier: Apache-2.0
//
// Sam.postprocess_masks: logits are enlarged to the network's input, cropped to the image without
// its padding, and resized to the image. Both interpolations are bilinear (align_corners=False), in
// the order of operations of torch's interpolate. The work goes row by row. Only two rows of each
// step are in memory, so a mask is counted while its logits are in the cache.

/// One axis of a bilinear interpolation: each target mixes sample `low` and the sample after it by
/// `weight`.
struct BilinearTaps: Sendable {
    /// For each target: a sample, the sample after it (or the same one at the end), and the weight
    /// of the latter.
    let taps: [(low: Int, high: Int, weight: Float)]

    /// Computes the first `count` of `target` samples of an axis that has `source` samples.
    init(from source: Int, to target: Int, count: Int) {
        let scale = Float(source) / Float(target)
        taps = (0..<count).map { index in
            let place = max(scale * (Float(index) + 0.5) - 0.5, 0)
            let low = min(Int(place), source - 1)
            return (low, low + (low < source - 1 ? 1 : 0), min(max(place - Float(low), 0), 1))
        }
    }
}

/// Enlarges the low-resolution logits of a crop to the crop's size.
package struct LogitScaling: Sendable {
    /// The height of the crop, in pixels of the image.
    let height: Int
    let width: Int
    private let lowWidth: Int
    private let inputWidth: Int
    private let rowsToInput: BilinearTaps
    private let columnsToInput: BilinearTaps
    private let rows: BilinearTaps
    private let columns: BilinearTaps

    /// Prepares both interpolations.
    ///
    /// - Parameters:
    ///   - low: height and width of the logits.
    ///   - input: height and width of the network's input.
    ///   - resized: (height, width) of the crop within the input.
    ///   - crop: (height, width) of the crop.
    package init(low: Int, input: Int, resized: (height: Int, width: Int), crop: (height: Int, width: Int)) {
        (height, width) = crop
        lowWidth = low
        inputWidth = resized.width
        rowsToInput = BilinearTaps(from: low, to: input, count: resized.height)
        columnsToInput = BilinearTaps(from: low, to: input, count: resized.width)
        rows = BilinearTaps(from: resized.height, to: crop.height, count: crop.height)
        columns = BilinearTaps(from: resized.width, to: crop.width, count: crop.width)
    }

    /// Memory for the latest even and the latest odd row, and the numbers of these rows.
    private struct Pair {
        let base: UnsafeMutablePointer<Float>
        let width: Int
        var held = (-1, -1)

        /// The address of a row, and whether the caller has to compute it.
        mutating func place(_ row: Int) -> (UnsafeMutablePointer<Float>, isNew: Bool) {
            if row & 1 == 0 {
                defer { held.0 = row }
                return (base, held.0 != row)
            }
            defer { held.1 = row }
            return (base + width, held.1 != row)
        }
    }

    /// Calls `body` with the number and the logits of every row of the crop; `logits` is `[low,
    /// low]`.
    func forEachRow(of logits: UnsafePointer<Float>, _ body: (Int, UnsafePointer<Float>) -> Void) {
        let needed = 3 * inputWidth + 3 * width
        withUnsafeTemporaryAllocation(of: Float.self, capacity: needed) { room in
            guard let base = room.baseAddress else { return }
            var wide = Pair(base: base, width: inputWidth)
            let input = base + 2 * inputWidth
            var narrow = Pair(base: input + inputWidth, width: width)
            let output = input + inputWidth + 2 * width

            /// A row of the logits, as wide as the crop within the input.
            func low(_ row: Int) -> UnsafePointer<Float> {
                let (place, isNew) = wide.place(row)
                if isNew { Self.spread(logits + row * lowWidth, columnsToInput, to: place) }
                return UnsafePointer(place)
            }
            /// A row of the input, as wide as the crop.
            func resized(_ row: Int) -> UnsafePointer<Float> {
                let (place, isNew) = narrow.place(row)
                if isNew {
                    let tap = rowsToInput.taps[row]
                    Self.mix(low(tap.low), low(tap.high), tap.weight, inputWidth, to: input)
                    Self.spread(input, columns, to: place)
                }
                return UnsafePointer(place)
            }
            for row in 0..<height {
                let tap = rows.taps[row]
                Self.mix(resized(tap.low), resized(tap.high), tap.weight, width, to: output)
                body(row, output)
            }
        }
    }

    /// Interpolates along a row.
    private static func spread(
        _ source: UnsafePointer<Float>, _ axis: BilinearTaps, to target: UnsafeMutablePointer<Float>
    ) {
        axis.taps.withUnsafeBufferPointer { taps in
            for index in taps.indices {
                let tap = taps[index]
                target[index] = source[tap.low] * (1 - tap.weight) + source[tap.high] * tap.weight
            }
        }
    }

    /// Interpolates between two rows.
    private static func mix(
        _ first: UnsafePointer<Float>, _ second: UnsafePointer<Float>, _ weight: Float, _ count: Int,
        to target: UnsafeMutablePointer<Float>
    ) {
        let rest = 1 - weight
        for index in 0..<count { target[index] = first[index] * rest + second[index] * weight }
    }
}
