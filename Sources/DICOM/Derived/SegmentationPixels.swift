// SPDX-License-Identifier: Apache-2.0
//
// Pixel data of a SEG. dcmseg 3.6.7 packs the bits of frames wrongly whose size is no multiple of 8: this does not use it.

import Imaging

enum SegmentationPixels {
    /// One bit a pixel, the first pixel in the lowest bit, frames one after the other without padding between them:
    /// PS3.5 8.1.1, PS3.3 C.8.20.2.
    static func packed(_ masks: [Mask]) -> [UInt8] {
        let bits = masks.reduce(0) { $0 + $1.pixels.count }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(bits / 8 + 2)
        var byte: UInt8 = 0
        var next: UInt8 = 1
        for mask in masks {
            for pixel in mask.pixels {
                if pixel != 0 { byte |= next }
                next <<= 1
                if next == 0 {
                    bytes.append(byte)
                    (byte, next) = (0, 1)
                }
            }
        }
        if next != 1 { bytes.append(byte) }
        return even(bytes)
    }

    /// One byte a pixel, 255 for certainty: PS3.3 C.8.20.2.3.2.
    static func scaled(_ probabilities: [[Float]]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(probabilities.reduce(1) { $0 + $1.count })
        for frame in probabilities {
            for probability in frame {
                bytes.append(probability > 0 ? UInt8((min(probability, 1) * 255).rounded()) : 0)
            }
        }
        return even(bytes)
    }

    private static func even(_ bytes: [UInt8]) -> [UInt8] { bytes.count % 2 == 0 ? bytes : bytes + [0] }
}
