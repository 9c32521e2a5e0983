// SPDX-License-Identifier: Apache-2.0

/// A 2D plane of pixels, ready for a segmenter: nothing in it says whose it is.
///
/// Samples are interleaved, row-major: `[rows, columns, channels]`. One channel holds modality units (after rescale,
/// with MONOCHROME1 inverted so that more is brighter); three hold RGB, 0...255.
public struct Frame: Sendable {
    public let rows: Int
    public let columns: Int
    /// 1 (grey) or 3 (RGB).
    public let channels: Int
    public let samples: [Float]

    public init(rows: Int, columns: Int, channels: Int, samples: [Float]) {
        precondition(rows > 0 && columns > 0 && (channels == 1 || channels == 3), "a frame has pixels, grey or RGB")
        precondition(samples.count == rows * columns * channels, "samples are [rows, columns, channels]")
        self.rows = rows
        self.columns = columns
        self.channels = channels
        self.samples = samples
    }
}
