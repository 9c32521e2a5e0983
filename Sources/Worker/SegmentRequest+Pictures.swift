// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Segmentation
import Supervision

// The pictures that a request asks for, beside its SEGs.
extension SegmentRequest {
    /// Writes the overlay of one frame, if the request asks for overlays and the mask is not empty.
    ///
    /// - Parameters:
    ///   - frame: the source.
    ///   - mask: of the frame's size.
    ///   - index: the frame's number in the stack from 0, which names the file.
    /// - Returns: the name of the file; an empty list if none was written.
    /// - Throws: `Refusal.hindered` if the file cannot be written.
    func overlay(_ frame: Frame, mask: Mask, index: Int) throws(Refusal) -> [String] {
        guard let overlayFolder, !mask.isEmpty else { return [] }
        let picture = Overlay.picture(
            of: frame.withPaddingAsBackground, mask: mask, color: segmenter.recommendedDisplayColor)
        return [try write(picture, to: overlayFolder, named: String(format: "%04d", index + 1))]
    }

    /// Writes the mask of one frame as a black and white picture, if the request asks for masks.
    ///
    /// - Parameters:
    ///   - mask: white in the picture.
    ///   - index: the frame's number in the stack from 0, which names the file.
    /// - Returns: the name of the file; an empty list if none was written.
    /// - Throws: `Refusal.hindered` if the file cannot be written.
    func maskPicture(_ mask: Mask, index: Int) throws(Refusal) -> [String] {
        guard let maskFolder else { return [] }
        let picture = Picture(
            rows: mask.rows, columns: mask.columns, channels: 1, samples: mask.pixels.map { $0 == 0 ? 0 : 255 })
        return [try write(picture, to: maskFolder, named: String(format: "%04d", index + 1))]
    }

    /// Writes a sheet of slices of a volume, if the request asks for overlays and a mask is not empty.
    ///
    /// - Parameters:
    ///   - volume: the source.
    ///   - result: the answer for the slices in the order of the volume.
    /// - Returns: the name of the file; an empty list if none was written.
    /// - Throws: `Refusal.hindered` if the file cannot be written.
    func contactSheet(_ volume: Volume, _ result: SegmenterResult) throws(Refusal) -> [String] {
        guard let overlayFolder, result.masks.contains(where: { !$0.isEmpty }) else { return [] }
        let picture = Overlay.contactSheet(
            of: volume.withPaddingAsBackground, masks: result.masks, prompted: result.prompted,
            color: segmenter.recommendedDisplayColor)
        return [try write(picture, to: overlayFolder, named: "sheet")]
    }

    private func write(_ picture: Picture, to folder: String, named name: String) throws(Refusal) -> String {
        let file = "\(name).png"
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try picture.writePNG(to: "\(folder)/\(file)")
        } catch {
            throw Refusal.hindered("could not write a picture: \(error)")
        }
        return file
    }
}
