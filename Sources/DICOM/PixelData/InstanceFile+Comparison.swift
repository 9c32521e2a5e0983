// SPDX-License-Identifier: Apache-2.0

import Imaging

extension InstanceFile {
    /// Whether two files show the same image, although their encodings may differ.
    ///
    /// The images are the same if size, number of frames, stored bits, sign and geometry are equal, and if every frame
    /// decodes to equal samples: modality units, or RGB. Memory holds one frame of each file at a time. Two images are
    /// never the same if one of them is compressed lossily, because its samples are not those of the original.
    ///
    /// - Parameters:
    ///   - other: the other file.
    ///   - progress: called after each frame with the frames compared and the number of frames.
    /// - Returns: `true` only if every frame was compared and is equal.
    /// - Throws: `PixelDataError` if an image cannot be decoded.
    public func showsSameImage(
        as other: InstanceFile, progress: (_ done: Int, _ total: Int) -> Void
    ) throws(PixelDataError) -> Bool {
        guard isLossless, other.isLossless, geometry == other.geometry else { return false }
        let (mine, others) = (try FrameDecoder(self), try FrameDecoder(other))
        guard mine.layout.frames == others.layout.frames, mine.layout.bitsStored == others.layout.bitsStored,
            mine.layout.isSigned == others.layout.isSigned, mine.layout.channels == others.layout.channels
        else { return false }
        try mine.layout.checkSize(frames: 1)
        let total = mine.layout.frames
        for number in 1...total {
            let (frame, otherFrame) = (try mine.frame(number), try others.frame(number))
            guard frame.samples == otherFrame.samples else { return false }
            mine.releaseMemory()
            others.releaseMemory()
            progress(number, total)
        }
        return true
    }

    private var isLossless: Bool { LossyCompression.method(ofSyntax: header.transferSyntaxUID) == nil }

    /// Size and place of the image.
    private var geometry: ImageGeometry {
        ImageGeometry(
            rows: header.rows, columns: header.columns, plane: header.plane, sliceThickness: header.sliceThickness,
            spacingBetweenSlices: header.spacingBetweenSlices, frameOfReferenceUID: header.frameOfReferenceUID,
            frames: header.frames)
    }
}

/// The attributes of size and place that make two images differ.
private struct ImageGeometry: Equatable {
    let rows: Int
    let columns: Int
    let plane: PlaneGeometry?
    let sliceThickness: Double?
    let spacingBetweenSlices: Double?
    let frameOfReferenceUID: String?
    let frames: FrameTable?
}
