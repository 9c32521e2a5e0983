// SPDX-License-Identifier: Apache-2.0
//
// The references of the SAM family take 8-bit pictures of three channels. Frames become such
// pictures like this:
//
// - RGB and grey values that all lie in 0...255 are rounded. Grey is repeated in three channels.
// - RGB beyond 0...255 is scaled: the least value becomes 0 and the greatest 255.
// - Grey beyond 0...255 is scaled in the same way for SAM.
// - Grey beyond 0...255 is converted for the other families as MedSAM's pre_CT_MR.py converts MRI
//   (`MagneticResonance`). Volumes are always converted like that.

package import Imaging
internal import Inference

/// An 8-bit picture, `[rows, columns, channels]`.
package struct ByteImage {
    package let rows: Int
    package let columns: Int
    /// 1 or 3.
    package let channels: Int
    /// `[rows, columns, channels]`.
    package let values: [UInt8]

    /// A picture from its values, `[rows, columns, channels]`.
    package init(rows: Int, columns: Int, channels: Int, values: [UInt8]) {
        precondition(values.count == rows * columns * channels, "values are [rows, columns, channels]")
        self.rows = rows
        self.columns = columns
        self.channels = channels
        self.values = values
    }

    /// Converts a frame.
    ///
    /// Values beyond 0...255 are scaled from the least to the greatest.
    package init(stretching frame: Frame) {
        let (low, high) = frame.samples.bounds
        self.init(frame) { low < 0 || high > 255 ? Self.stretched($0, low, high) : Self.rounded($0) }
    }

    /// Converts a frame.
    ///
    /// Grey values beyond 0...255 are clipped to percentiles, and colours are scaled.
    package init(clipping frame: Frame) {
        let (low, high) = frame.samples.bounds
        let beyond = low < 0 || high > 255
        if frame.channels == 1, beyond {
            self.init(frame, MagneticResonance.bytes)
        } else {
            self.init(stretching: frame)
        }
    }

    private init(_ frame: Frame, _ bytes: ([Float]) -> [UInt8]) {
        self.init(
            rows: frame.rows, columns: frame.columns, channels: frame.channels,
            values: frame.samples.bytes ?? bytes(frame.samples.floats))
    }

    /// The picture with three channels.
    ///
    /// Grey is repeated.
    package var colour: ByteImage {
        if channels == 3 { return self }
        var repeated = [UInt8]()
        repeated.reserveCapacity(values.count * 3)
        for value in values { repeated += repeatElement(value, count: 3) }
        return ByteImage(rows: rows, columns: columns, channels: 3, values: repeated)
    }

    /// The part of the picture inside `box`, whose end is excluded.
    func part(_ box: PixelBox) -> ByteImage {
        guard box.width < columns || box.height < rows else { return self }
        var part = [UInt8]()
        part.reserveCapacity(box.width * box.height * channels)
        for row in box.y0..<box.y1 {
            let line = row * columns
            part += values[(line + box.x0) * channels..<(line + box.x1) * channels]
        }
        return ByteImage(rows: box.height, columns: box.width, channels: channels, values: part)
    }

    private static func rounded(_ values: [Float]) -> [UInt8] { values.map { UInt8(min(max($0, 0), 255) + 0.5) } }

    private static func stretched(_ values: [Float], _ low: Float, _ high: Float) -> [UInt8] {
        let (least, range) = (Double(low), Double(high) - Double(low))
        let scale = range > 0 ? 255 / range : 0
        return values.map { UInt8(min(max((Double($0) - least) * scale, 0), 255) + 0.5) }
    }
}
