// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// Reads written pictures back and compares them with the sources and the masks.
///
/// The reader shares only the decoder of images with the writer. It finds contours by their definition, and greys by
/// their order.
public enum PicturesReader {
    /// Compares a written file with the intended content: sources, contours, and all pixels outside the contours.
    ///
    /// - Parameters:
    ///   - path: the written file, which is read anew.
    ///   - description: the description that was given to `PicturesInstance.write`. The other parameters were given to
    ///     it too.
    ///   - sources: the open source instances.
    ///   - masks: one for each frame of the sources.
    ///   - mostBytes: the most bytes of Pixel Data: frames are missing only if another one would exceed it.
    /// - Throws: `ObjectError.mismatch` with the first difference, `.cannotRead` if the file is not an instance.
    public static func verify(
        path: String, description: ObjectDescription, sources: [SegmentationSource], masks: [Mask],
        mostBytes: Int = PicturesInstance.mostBytes
    ) throws(ObjectError) {
        let written = try WrittenPictures(path: path)
        guard written.header.sopInstanceUID == description.sopInstanceUID,
            written.header.sopClassUID == description.kind.sopClassUID
        else { throw .mismatch(reason: "it is another object") }
        let places = try places(of: written, sources)
        let found = masks.indices.filter { !masks[$0].isEmpty }
        guard places.count == written.header.numberOfFrames, Set(places.map(\.mask)).isSubset(of: found) else {
            throw .mismatch(reason: "its pictures do not show different frames with a finding")
        }
        let size = written.header.rows * written.header.columns * 3
        guard places.count == found.count || (places.count + 1) * size > mostBytes else {
            throw .mismatch(reason: "it has \(places.count) pictures of \(found.count) findings")
        }
        var reader = PicturesFrameReader(sources)
        var greys = GreyOrder()
        for (index, place) in places.enumerated() {
            let comparison = PictureComparison(
                picture: try written.frame(index + 1), source: try reader.frame(place.number, of: place.source),
                mask: masks[place.mask],
                color: description.segmenter.recommendedDisplayColor)
            guard comparison.isConsistent(&greys) else {
                throw .mismatch(reason: "picture \(index + 1) differs from its frame or the contour of its mask")
            }
        }
        guard greys.isRising else { throw .mismatch(reason: "its greys do not rise with the values of the source") }
    }

    /// A frame of the stack.
    private struct Place {
        /// Index into the masks.
        let mask: Int
        /// Index into the sources.
        let source: Int
        /// The number of the frame in its instance, counted from 1.
        let number: Int
    }

    /// The source frame of each picture, found by the instance and the frame number that the picture names.
    ///
    /// - Throws: `ObjectError.mismatch` if a picture names a frame that the stack does not have, or another picture's, or
    ///   if Page Number Vector does not have its place.
    private static func places(
        of written: WrittenPictures, _ sources: [SegmentationSource]
    ) throws(ObjectError) -> [Place] {
        var stack: [WrittenPictures.Reference: Place] = [:]
        var place = 0
        for (index, source) in sources.segmented.enumerated() {
            let header = source.file.header
            for number in source.frameNumbers ?? Array(1...header.numberOfFrames) {
                let reference = WrittenPictures.Reference(
                    uid: header.sopInstanceUID, number: header.numberOfFrames > 1 ? number : nil)
                stack[reference] = Place(mask: place, source: index, number: number)
                place += 1
            }
        }
        let places = written.references.compactMap { stack.removeValue(forKey: $0) }
        guard places.count == written.references.count,
            places.count == 1 || written.pages == places.map({ $0.mask + 1 })
        else { throw .mismatch(reason: "a picture names another source") }
        return places
    }
}

/// A file of pictures as it was written.
private struct WrittenPictures {
    /// An item of Source Image Sequence.
    struct Reference: Hashable {
        let uid: String
        /// `nil` for an instance of one frame.
        let number: Int?
    }

    let header: InstanceHeader
    /// The number in the stack of each picture's frame, counted from 1; empty for one picture.
    let pages: [Int]
    /// The source frame of each picture.
    let references: [Reference]
    private let decoder: FrameDecoder

    init(path: String) throws(ObjectError) {
        let data: DataSet
        do throws(DataSetError) {
            let file = try InstanceFile(path: path)
            (data, header) = (try file.dataSet(), file.header)
            do throws(PixelDataError) { decoder = try FrameDecoder(file) } catch {
                throw .invalidValue(attribute: Attribute.pixelData.keyword, reason: "\(error)")
            }
        } catch { throw .cannotRead(error) }
        pages = data.integers(.pageNumberVector)
        references = data.items(.sourceImageSequence).map {
            Reference(
                uid: data.string(.referencedSOPInstanceUID, in: $0) ?? "",
                number: data.integer(.referencedFrameNumber, in: $0))
        }
    }

    /// A picture, counted from 1.
    func frame(_ number: Int) throws(ObjectError) -> Frame {
        do { return try decoder.frame(number) } catch { throw .mismatch(reason: "\(error)") }
    }
}

/// One picture beside its source.
private struct PictureComparison {
    /// RGB of 0...255, with the source at the top left.
    let picture: Frame
    let source: Frame
    let mask: Mask
    let color: DisplayColor

    /// Whether the contour is where the mask ends, and every other pixel of the source shows its value.
    func isConsistent(_ greys: inout GreyOrder) -> Bool {
        guard picture.channels == 3, picture.rows >= source.rows, picture.columns >= source.columns,
            mask.rows == source.rows, mask.columns == source.columns
        else { return false }
        let thickness = max(1, (min(source.rows, source.columns) + 270) / 540)
        let tint = [Float(color.red), Float(color.green), Float(color.blue)]
        for row in 0..<source.rows {
            for column in 0..<source.columns {
                let start = (row * picture.columns + column) * 3
                let shown = (picture.samples[start], picture.samples[start + 1], picture.samples[start + 2])
                if isContour(row, column, thickness) {
                    guard shown == (tint[0], tint[1], tint[2]) else { return false }
                } else if source.channels == 1 {
                    guard shown.0 == shown.1, shown.1 == shown.2 else { return false }
                    greys.note(source.samples[row * source.columns + column], level: shown.0)
                } else {
                    let place = (row * source.columns + column) * 3
                    guard abs(shown.0 - source.samples[place]) <= 0.5, abs(shown.1 - source.samples[place + 1]) <= 0.5,
                        abs(shown.2 - source.samples[place + 2]) <= 0.5
                    else { return false }
                }
            }
        }
        return true
    }

    /// Whether a pixel belongs to the mask, and a pixel outside the mask or the frame is at most `steps` steps away.
    private func isContour(_ row: Int, _ column: Int, _ steps: Int) -> Bool {
        guard mask.pixels[row * mask.columns + column] != 0 else { return false }
        for down in -steps...steps {
            for right in -(steps - abs(down))...(steps - abs(down)) {
                let (y, x) = (row + down, column + right)
                guard y >= 0, y < mask.rows, x >= 0, x < mask.columns, mask.pixels[y * mask.columns + x] != 0 else {
                    return true
                }
            }
        }
        return false
    }
}

/// The values that each grey level stands for, in all pictures of an object.
private struct GreyOrder {
    private var least = [Float](repeating: .infinity, count: 256)
    private var greatest = [Float](repeating: -.infinity, count: 256)

    mutating func note(_ value: Float, level: Float) {
        guard value.isFinite else { return }
        let level = min(max(Int(level), 0), 255)
        least[level] = min(least[level], value)
        greatest[level] = max(greatest[level], value)
    }

    /// Whether a brighter level always stands for greater values.
    var isRising: Bool {
        var last = -Float.infinity
        for level in least.indices where least[level] <= greatest[level] {
            guard least[level] >= last else { return false }
            last = greatest[level]
        }
        return true
    }
}
