// SPDX-License-Identifier: Apache-2.0
//
// Positional encodings of SAM 2 that follow from sizes alone: sam2/modeling/position_encoding.py, get_1d_sine_pe of
// sam2/modeling/sam2_utils.py, and the resizing of the trunk's position embedding in
// sam2/modeling/backbones/hieradet.py.

import Foundation

/// Sines and cosines of positions (`PositionEmbeddingSine` and `get_1d_sine_pe` of the reference).
enum SinePositions {
    private static let temperature: Float = 10_000

    /// The encoding of a square grid, `[side, side, channels]`: the channels of y first, then those of x.
    ///
    /// Even channels are sines and odd channels are cosines.
    static func grid(_ side: Int, channels: Int) -> [Float] {
        let half = channels / 2
        let axis = (0..<side).map { place in
            let angle = Float(place + 1) / (Float(side) + 1e-6) * (2 * Float.pi)
            return (0..<half).map { k in
                let turn = angle / period(k, of: half)
                return k % 2 == 0 ? sin(turn) : cos(turn)
            }
        }
        return axis.flatMap { y in axis.flatMap { x in y + x } }
    }

    /// The encoding of a distance in time, `[channels]`: all sines, then all cosines.
    static func distance(_ distance: Float, channels: Int) -> [Float] {
        let half = channels / 2
        let turns = (0..<half).map { distance / period($0, of: half) }
        return turns.map { sin($0) } + turns.map { cos($0) }
    }

    private static func period(_ channel: Int, of count: Int) -> Float {
        pow(temperature, Float(2 * (channel / 2)) / Float(count))
    }
}

/// The rotations of rotary position encodings (Su 2021) over two axes, for a square grid.
///
/// The first half of the pairs of channels turns with the column, the second half with the row
/// (`compute_axial_cis` of the reference).
struct RotaryTable {
    /// The cosines, `[side * side, channels / 2]`.
    let cosines: [Float]
    /// The sines, `[side * side, channels / 2]`.
    let sines: [Float]

    init(side: Int, channels: Int) {
        let frequencies: [Float] = (0..<channels / 4).map { 1 / pow(10_000, Float(4 * $0) / Float(channels)) }
        var angles = [Float]()
        for place in 0..<side * side {
            let (x, y) = (Float(place % side), Float(place / side))
            angles += frequencies.map { x * $0 }
            angles += frequencies.map { y * $0 }
        }
        cosines = angles.map { cos($0) }
        sines = angles.map { sin($0) }
    }
}

/// Bicubic interpolation of a square grid (Keys 1981 with a = -0.75), as torch's `interpolate` without antialiasing and
/// with `align_corners=False`.
enum Bicubic {
    /// Resizes `[from, from, channels]` to `[to, to, channels]`.
    static func resize(_ values: [Float], from: Int, to: Int, channels: Int) -> [Float] {
        let rows = resizeRows(values, from: from, to: to, inner: from * channels)
        var resized = [Float]()
        resized.reserveCapacity(to * to * channels)
        for y in 0..<to {
            let row = Array(rows[y * from * channels..<(y + 1) * from * channels])
            resized += resizeRows(row, from: from, to: to, inner: channels)
        }
        return resized
    }

    /// Resizes the first axis of `[from, inner]`.
    private static func resizeRows(_ values: [Float], from: Int, to: Int, inner: Int) -> [Float] {
        var resized = [Float](repeating: 0, count: to * inner)
        for i in 0..<to {
            let place = Float(from) / Float(to) * (Float(i) + 0.5) - 0.5
            let first = place.rounded(.down)
            for (offset, weight) in weights(place - first).enumerated() {
                let sample = min(max(Int(first) - 1 + offset, 0), from - 1)
                for c in 0..<inner { resized[i * inner + c] += weight * values[sample * inner + c] }
            }
        }
        return resized
    }

    /// The weights of the four samples around a place that lies `t` behind the second one.
    private static func weights(_ t: Float) -> [Float] {
        let a: Float = -0.75
        func near(_ x: Float) -> Float { ((a + 2) * x - (a + 3)) * x * x + 1 }
        func far(_ x: Float) -> Float { ((a * x - 5 * a) * x + 8 * a) * x - 4 * a }
        return [far(t + 1), near(t), near(1 - t), far(2 - t)]
    }
}
