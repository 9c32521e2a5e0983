// SPDX-License-Identifier: Apache-2.0
//
// scikit-image's `transform.resize(order=3, preserve_range=True, anti_aliasing=True)`
// (skimage/transform/_warps.py, scipy's ndimage: ni_splines.c, `NI_ZoomShift` with `grid_mode`): a
// Gaussian along an axis that shrinks, a cubic B-spline through the samples, edges mirrored about
// the outermost sample, the result clipped to the input's range.
//
// This code uses double precision and treats one axis after the other. scipy sums all axes at once,
// so the results differ by rounding only.

internal import Foundation

/// scikit-image's cubic spline resize.
package enum SplineResize {
    /// Resizes a picture to `rows` x `columns`.
    ///
    /// - Returns: values 0...255, not rounded, `[rows, columns, channels]`.
    package static func resize(_ image: ByteImage, rows: Int, columns: Int) -> [Double] {
        let channels = image.channels
        let shape = (rows: image.rows, columns: image.columns)
        var values = image.values.map(Double.init)
        guard shape != (rows, columns) else { return values }
        let (low, high) = (values.min() ?? 0, values.max() ?? 0)
        values = smooth(values, outer: 1, count: shape.rows, inner: shape.columns * channels, to: rows)
        values = smooth(values, outer: shape.rows, count: shape.columns, inner: channels, to: columns)
        prefilter(&values, outer: 1, count: shape.rows, inner: shape.columns * channels)
        prefilter(&values, outer: shape.rows, count: shape.columns, inner: channels)
        values = sample(values, outer: shape.rows, count: shape.columns, inner: channels, to: columns)
        values = sample(values, outer: 1, count: shape.rows, inner: columns * channels, to: rows)
        return values.map { min(max($0, low), high) }
    }

    /// The sample at an index beyond the edges: d c b | a b c d | c b a.
    private static func mirrored(_ index: Int, _ count: Int) -> Int {
        guard count > 1 else { return 0 }
        let period = 2 * (count - 1)
        let folded = (index % period + period) % period
        return folded < count ? folded : period - folded
    }

    /// Smooths an axis that shrinks by a Gaussian of deviation (factor - 1) / 2 samples, cut off at
    /// four deviations.
    private static func smooth(_ values: [Double], outer: Int, count: Int, inner: Int, to target: Int) -> [Double] {
        let deviation = max(0, (Double(count) / Double(target) - 1) / 2)
        guard deviation > 1e-15 else { return values }
        let radius = Int(4 * deviation + 0.5)
        var kernel = (-radius...radius).map { exp(-0.5 / (deviation * deviation) * Double($0 * $0)) }
        let sum = kernel.reduce(0, +)
        for index in kernel.indices { kernel[index] /= sum }
        return combine(values, outer: outer, count: count, inner: inner, to: count) { i in
            (-radius...radius).map { (mirrored(i + $0, count), kernel[$0 + radius]) }
        }
    }

    /// Replaces samples by the coefficients of the cubic B-spline through them.
    private static func prefilter(_ values: inout [Double], outer: Int, count: Int, inner: Int) {
        guard count > 1 else { return }
        let pole = 3.0.squareRoot() - 2
        let last = pow(pole, Double(count - 1))
        values.withUnsafeMutableBufferPointer { values in
            for line in 0..<outer {
                for place in 0..<inner {
                    let start = line * count * inner + place
                    func at(_ index: Int) -> Int { start + index * inner }
                    for index in 0..<count { values[at(index)] *= 6 }
                    // Both ends start as if the mirrored samples continued without end.
                    var power = pole
                    var first = values[at(0)] + last * values[at(count - 1)]
                    for index in 1..<max(count - 1, 1) {
                        first += power * (values[at(index)] + last * values[at(count - 1 - index)])
                        power *= pole
                    }
                    values[at(0)] = first / (1 - last * last)
                    for index in 1..<count { values[at(index)] += pole * values[at(index - 1)] }
                    values[at(count - 1)] =
                        (pole * values[at(count - 2)] + values[at(count - 1)]) * pole / (pole * pole - 1)
                    for index in (0..<count - 1).reversed() {
                        values[at(index)] = pole * (values[at(index + 1)] - values[at(index)])
                    }
                }
            }
        }
    }

    /// The spline at the centres of `target` pixels that cover the axis.
    private static func sample(_ values: [Double], outer: Int, count: Int, inner: Int, to target: Int) -> [Double] {
        let scale = Double(count) / Double(target)
        return combine(values, outer: outer, count: count, inner: inner, to: target) { i in
            let place = mirrored((Double(i) + 0.5) * scale - 0.5, count)
            let start = place.rounded(.down)
            let (y, z) = (place - start, 1 - (place - start))
            let middle = (y * y * (y - 2) * 3 + 4) / 6
            let next = (z * z * (z - 2) * 3 + 4) / 6
            let before = z * z * z / 6
            let weights = [before, middle, next, 1 - before - middle - next]
            return weights.enumerated().map { (mirrored(Int(start) - 1 + $0, count), $1) }
        }
    }

    /// Mirrors a position beyond the outermost samples back inside.
    private static func mirrored(_ place: Double, _ count: Int) -> Double {
        guard count > 1 else { return 0 }
        let last = Double(count - 1)
        return place < 0 ? -place : place > last ? 2 * last - place : place
    }

    /// Combines values along the middle axis of `[outer, count, inner]`.
    ///
    /// Output `i` is the weighted sum that `terms` lists.
    private static func combine(
        _ values: [Double], outer: Int, count: Int, inner: Int, to target: Int, terms: (Int) -> [(Int, Double)]
    ) -> [Double] {
        let all = (0..<target).map(terms)
        return [Double](unsafeUninitializedCapacity: outer * target * inner) { output, filled in
            output.initialize(repeating: 0)
            values.withUnsafeBufferPointer { values in
                for line in 0..<outer {
                    for (i, terms) in all.enumerated() {
                        let start = (line * target + i) * inner
                        for (index, weight) in terms {
                            let source = (line * count + index) * inner
                            for place in 0..<inner { output[start + place] += weight * values[source + place] }
                        }
                    }
                }
            }
            filled = output.count
        }
    }
}
