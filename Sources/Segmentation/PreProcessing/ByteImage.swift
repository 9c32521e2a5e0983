// SPDX-License-Identifier: Apache-2.0
//
// The references of the SAM family take 8-bit pictures of three channels. What becomes one here, and how:
//
// - RGB, and grey whose values all lie in 0...255: as it is, rounded, grey repeated.
// - RGB beyond 0...255: least value to 0, greatest to 255.
// - Grey beyond 0...255, for SAM: least value to 0, greatest to 255.
// - Grey beyond 0...255 for the others, and every volume for them: as MedSAM's pre_CT_MR.py treats MRI, below.

package import Imaging

/// An 8-bit picture, `[rows, columns, channels]`.
package struct ByteImage {
    package let rows: Int
    package let columns: Int
    /// 1 or 3.
    package let channels: Int
    package let values: [UInt8]

    package init(rows: Int, columns: Int, channels: Int, values: [UInt8]) {
        precondition(values.count == rows * columns * channels, "values are [rows, columns, channels]")
        self.rows = rows
        self.columns = columns
        self.channels = channels
        self.values = values
    }

    /// Values beyond 0...255 are stretched from the least to the greatest.
    package init(stretching frame: Frame) {
        let (low, high) = (frame.samples.min() ?? 0, frame.samples.max() ?? 0)
        self.init(frame) { low < 0 || high > 255 ? Self.stretched($0, low, high) : Self.rounded($0) }
    }

    /// Grey values beyond 0...255 are clipped to percentiles, colours stretched.
    package init(clipping frame: Frame) {
        let beyond = frame.samples.contains { $0 < 0 || $0 > 255 }
        if frame.channels == 1, beyond {
            self.init(frame, MagneticResonance.bytes)
        } else {
            self.init(stretching: frame)
        }
    }

    private init(_ frame: Frame, _ bytes: ([Float]) -> [UInt8]) {
        self.init(rows: frame.rows, columns: frame.columns, channels: frame.channels, values: bytes(frame.samples))
    }

    /// Three channels, grey repeated.
    package var colour: ByteImage {
        if channels == 3 { return self }
        var repeated = [UInt8]()
        repeated.reserveCapacity(values.count * 3)
        for value in values { repeated += repeatElement(value, count: 3) }
        return ByteImage(rows: rows, columns: columns, channels: 3, values: repeated)
    }

    private static func rounded(_ values: [Float]) -> [UInt8] { values.map { UInt8(min(max($0, 0), 255) + 0.5) } }

    private static func stretched(_ values: [Float], _ low: Float, _ high: Float) -> [UInt8] {
        let (least, range) = (Double(low), Double(high) - Double(low))
        let scale = range > 0 ? 255 / range : 0
        return values.map { UInt8(min(max((Double($0) - least) * scale, 0), 255) + 0.5) }
    }
}

/// Intensities of magnetic resonance images as bytes: clipped to the 0.5 and 99.5 percentiles of what is positive, the
/// range scaled to 0...255 and cut to whole numbers; zeros stay 0 (MedSAM's pre_CT_MR.py).
package enum MagneticResonance {
    static let percentiles = [0.5, 99.5]

    package static func bytes(_ values: [Float]) -> [UInt8] {
        let limits = Intensities.percentiles(percentiles, of: values.filter { $0 > 0 })
        guard limits.count == 2 else { return [UInt8](repeating: 0, count: values.count) }
        let (low, high) = (limits[0], limits[1])
        // The reference scales what it clipped by its own extremes, which lie inside the limits.
        var (least, greatest) = (Double.infinity, -Double.infinity)
        for value in values {
            let clipped = min(max(Double(value), low), high)
            (least, greatest) = (min(least, clipped), max(greatest, clipped))
        }
        let range = greatest - least
        guard range > 0 else { return [UInt8](repeating: 0, count: values.count) }
        return values.map { value in
            let clipped = min(max(Double(value), low), high)
            return value == 0 ? 0 : UInt8(min(max((clipped - least) / range * 255, 0), 255))
        }
    }
}
