// SPDX-License-Identifier: Apache-2.0
//
// Writes pictures for viewers that do not show segmentations: a Multi-frame True Color Secondary Capture, PS3.3 A.8.5.

public import Imaging

/// The writer of secondary captures with burnt-in contours.
///
/// Each frame of the object shows one frame of the stack with the contour of its mask and a caption
/// (`ContourPictures`). All pictures of an answer are one object, so that an archive never has a part of them.
public enum PicturesInstance {
    /// The most bytes of Pixel Data of one object with several pictures: 128 MiB.
    ///
    /// Archives and viewers keep whole objects in memory, and pictures are not compressed.
    public static let mostBytes = 128 << 20

    /// Writes the pictures of one stack as a Part 10 file, Explicit VR Little Endian.
    ///
    /// The frames with a finding are written in the order of a SEG. If they would exceed `mostBytes`, some that are evenly
    /// spread are written, and the captions say so. Grey frames share one window, from the 1st to the 99th percentile
    /// of their values. The same description, sources and masks give the same bytes.
    ///
    /// - Parameters:
    ///   - description: everything that does not come from sources or masks.
    ///   - sources: the open source instances, in stack order.
    ///   - masks: one for each frame of the sources, in their order, on the source grid.
    ///   - mostBytes: the most bytes of Pixel Data; one picture may take more.
    ///   - path: a file of this name is replaced. The file is not synced.
    /// - Returns: the number of pictures written.
    /// - Throws: `ObjectError`; `nothingFound` if every mask is empty.
    @discardableResult
    public static func write(
        _ description: ObjectDescription, sources: [SegmentationSource], masks: [Mask],
        mostBytes: Int = PicturesInstance.mostBytes, to path: String
    ) throws(ObjectError) -> Int {
        let object = try ObjectContext(description, sources)
        let first = object.first
        try object.stack.check(masks)
        let found = object.stack.frames(of: masks)
        guard !found.isEmpty else { throw .nothingFound }
        let frames = chosen(from: found, of: object, mostBytes: mostBytes)
        let captions = PictureCaptions(
            description, shown: frames, found: found.count, of: masks.count, ranks: object.stack.ranks())
        let drawing = ContourPictures(
            rows: first.rows, columns: first.columns, captions: captions.all,
            color: description.segmenter.recommendedDisplayColor)
        guard drawing.rows <= 65_535, drawing.columns <= 65_535 else {
            throw .tooLarge(bytes: drawing.rows * drawing.columns * 3)
        }
        let pixels = try drawn(frames, sources: sources, masks: masks, with: drawing)
        let largest = frames.indices.max { masks[frames[$0].mask].area < masks[frames[$1].mask].area } ?? 0
        let context = PicturesContext(
            object: object, frames: frames, representative: largest + 1, rows: drawing.rows, columns: drawing.columns,
            comments: captions.common, pixelData: pixels)
        var item = ItemElements()
        for module in ObjectModules.ofImages { for row in module { row.put(object, into: &item) } }
        for module in PicturesModules.all { for row in module { row.put(context, into: &item) } }
        try object.write(item, to: path)
        return frames.count
    }

    /// The frames that are shown: all with a finding, or as many as fit, spread from the first to the last.
    private static func chosen(
        from found: [SegmentationFrame], of object: ObjectContext, mostBytes: Int
    ) -> [SegmentationFrame] {
        let one = ContourPictures(
            rows: object.first.rows, columns: object.first.columns,
            captions: [PictureCaptions.longest(object.description)], color: DisplayColor(red: 0, green: 0, blue: 0))
        let count = min(found.count, max(1, mostBytes / (one.rows * one.columns * 3)))
        return (0..<count).map { found[count == 1 ? found.count / 2 : $0 * (found.count - 1) / (count - 1)] }
    }

    /// The pixels of all pictures, `[pictures, rows, columns, 3]`.
    ///
    /// Frames are decoded one by one, grey ones twice, so that memory does not hold all of them.
    private static func drawn(
        _ frames: [SegmentationFrame], sources: [SegmentationSource], masks: [Mask], with drawing: ContourPictures
    ) throws(ObjectError) -> [UInt8] {
        var pixels: [UInt8] = []
        pixels.reserveCapacity(frames.count * drawing.rows * drawing.columns * 3)
        var reader = PicturesFrameReader(sources)
        var values: [Float] = []
        for frame in frames where reader.isGrey(frame.source) {
            let samples = try reader.frame(frame.frameNumber, of: frame.source).samples
            let step = max(1, samples.count * frames.count / GreyWindow.sampled)
            values += stride(from: 0, to: samples.count, by: step).map { samples[$0] }
        }
        let window = GreyWindow(percentilesOf: values)
        for (index, frame) in frames.enumerated() {
            let picture = drawing.picture(
                index, of: try reader.frame(frame.frameNumber, of: frame.source), mask: masks[frame.mask],
                window: window)
            pixels += picture.samples
        }
        return pixels
    }
}

/// Decodes source frames one by one.
struct PicturesFrameReader {
    private let sources: [SegmentationSource]
    /// The decoder of the last source, because successive frames often are of one source.
    private var last: (source: Int, decoder: FrameDecoder)?

    init(_ sources: [SegmentationSource]) { self.sources = sources.segmented }

    /// Whether the frames of a source hold grey values, which need a window.
    func isGrey(_ source: Int) -> Bool {
        (try? PixelLayout(sources[source].file.header))?.channels == 1
    }

    /// Decodes one frame of a source, counted from 1, with padded pixels as background.
    ///
    /// - Throws: `ObjectError.source` if the file cannot be read, `.inconsistent` if its pixels do not decode.
    mutating func frame(_ number: Int, of source: Int) throws(ObjectError) -> Frame {
        do throws(PixelDataError) {
            if let last, last.source == source { return try last.decoder.frame(number).withPaddingAsBackground }
            last?.decoder.releaseMemory()
            let decoder = try FrameDecoder(sources[source].file)
            last = (source, decoder)
            return try decoder.frame(number).withPaddingAsBackground
        } catch {
            if case .dataSet(let cause) = error { throw .source(index: source, cause) }
            throw .inconsistent(reason: "source instance \(source + 1): \(error)")
        }
    }
}
