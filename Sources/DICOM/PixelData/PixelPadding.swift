// SPDX-License-Identifier: Apache-2.0
//
// Pixel Padding Value and Pixel Padding Range Limit: PS3.3 C.7.5.1.1.2. The attributes apply to grey images.

/// The stored values that mark pixels without an image.
struct PixelPadding {
    private let values: ClosedRange<Int32>
    /// The bits of a single value that Bits Stored cannot hold; `nil` for other values.
    private let unstored: UInt16?

    /// Reads the attributes; `nil` if they are absent or do not apply.
    init?(_ layout: PixelLayout, in data: DataSet) {
        guard layout.channels == 1, layout.bitsAllocated <= 16, let value = data.integer(.pixelPaddingValue) else {
            return nil
        }
        let limit = data.integer(.pixelPaddingRangeLimit) ?? value
        // The VR may have another sign than the pixels: PS3.5 6.2 leaves US and SS to Pixel Representation.
        let ends = [value, limit].map { (number: Int) -> Int32 in
            let bits = UInt16(truncatingIfNeeded: number)
            return layout.isSigned ? Int32(Int16(bitPattern: bits)) : Int32(bits)
        }
        values = min(ends[0], ends[1])...max(ends[0], ends[1])
        let half = Int32(1) << Int32(layout.bitsStored - 1)
        let stored = layout.isSigned ? -half...half - 1 : 0...2 * half - 1
        unstored = ends[0] == ends[1] && !stored.contains(ends[0]) ? UInt16(truncatingIfNeeded: value) : nil
    }

    /// The padded pixels of a frame.
    ///
    /// - Parameters:
    ///   - numbers: the stored values, `[rows, columns]`.
    ///   - stored: the frame that holds them.
    /// - Returns: `[rows, columns]`, 1 for padding; empty if no pixel is padded.
    func mask(_ numbers: [Int32], of stored: StoredFrame) -> [UInt8] {
        let mask: [UInt8] =
            if let unstored {
                stored.samples.map { $0 == unstored ? 1 : 0 }
            } else {
                numbers.map { values.contains($0) ? 1 : 0 }
            }
        return mask.contains(1) ? mask : []
    }
}
