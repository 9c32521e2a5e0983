// SPDX-License-Identifier: Apache-2.0

internal import DICOM
public import Imaging

/// The pixels and true masks of a case, in the order of its images.
public struct LoadedCase: Sendable {
    /// One frame per image.
    public var frames: [Frame]
    /// One mask per image, of its size.
    public var truth: [Mask]

    /// Reads and decodes the files of a case.
    ///
    /// - Throws: `EvaluationError`.
    public init(_ source: EvaluationCase) throws(EvaluationError) {
        frames = []
        for image in source.images { frames.append(try Self.frame(image, isPicture: source.isPicture)) }
        switch source.truth {
        case .nothing: truth = frames.map { Mask(rows: $0.rows, columns: $0.columns) }
        case .picture(let path):
            guard frames.count == 1 else {
                throw .mismatch(reason: "it is one picture, but the image has \(frames.count) slices: give a SEG")
            }
            truth = [try Self.truth(picture: path)]
        case .segmentation(let path, let segment):
            truth = try SegmentationTruth(path: path, segment: segment).masks(for: source.images, frames: frames)
        }
        for (frame, mask) in zip(frames, truth) where frame.rows != mask.rows || frame.columns != mask.columns {
            throw .mismatch(
                reason: "\(mask.rows) x \(mask.columns) pixels, the image has \(frame.rows) x \(frame.columns)")
        }
    }

    /// Reads a true mask from a picture.
    ///
    /// A PNG label map with small numbers is refused, because it would become an empty mask. In a
    /// JPEG file small numbers can be noise.
    private static func truth(picture path: String) throws(EvaluationError) -> Mask {
        let picture: Picture
        do {
            picture = try Picture(path: path)
        } catch {
            throw .unreadable(path: path, reason: "\(error)")
        }
        let mask = picture.mask(above: 127)
        let largest = picture.samples.max() ?? 0
        guard largest == 0 || largest > 127 || !path.lowercased().hasSuffix(".png") else {
            throw .unreadable(
                path: path,
                reason: "its largest value is \(largest), and only pixels above 127 belong to the structure: "
                    + "write the structure as 255")
        }
        return mask
    }

    private static func frame(_ image: EvaluationCase.Image, isPicture: Bool) throws(EvaluationError) -> Frame {
        do {
            if isPicture { return try Frame(picture: image.path) }
            let frames = try InstanceFile(path: image.path).frames(image.frameNumber.map { [$0] })
            guard let frame = frames.first else {
                throw EvaluationError.unreadable(path: image.path, reason: "it does not have frames")
            }
            return frame
        } catch let error as EvaluationError {
            throw error
        } catch {
            throw .unreadable(path: image.path, reason: "\(error)")
        }
    }
}

/// The true masks in a SEG.
public struct SegmentationTruth: Sendable {
    /// SOP Instance UIDs of the images that its frames reference.
    public let instances: Set<String>
    private let path: String
    private let rows: Int
    private let columns: Int
    private let frames: [SegmentationReader.Frame]
    private let limit: UInt8

    /// Reads a SEG.
    ///
    /// - Parameters:
    ///   - path: the path of the SEG.
    ///   - segment: the Segment Number to take; `nil` unites all segments.
    /// - Throws: `EvaluationError.unreadable`.
    public init(path: String, segment: Int?) throws(EvaluationError) {
        let reader: SegmentationReader
        do {
            reader = try SegmentationReader(path: path)
        } catch {
            throw .unreadable(path: path, reason: "\(error)")
        }
        self.path = path
        (rows, columns) = (reader.rows, reader.columns)
        // A fractional value belongs to the structure if it is at least one half of 255.
        limit = reader.type == .binary ? 1 : 128
        frames = reader.frames.filter { segment == nil || $0.segmentNumber == segment }
        instances = Set(reader.frames.map(\.sourceInstanceUID))
    }

    /// The masks of images, empty for an image that the SEG does not reference.
    ///
    /// - Throws: `EvaluationError.mismatch` if the sizes differ.
    func masks(for images: [EvaluationCase.Image], frames sources: [Frame]) throws(EvaluationError) -> [Mask] {
        var masks: [Mask] = []
        for (image, source) in zip(images, sources) {
            var pixels = [UInt8](repeating: 0, count: source.rows * source.columns)
            let own = frames.filter { frame in
                frame.sourceInstanceUID == image.sopInstanceUID
                    && (frame.sourceFrameNumber ?? 1) == (image.frameNumber ?? 1)
            }
            guard own.isEmpty || (rows == source.rows && columns == source.columns) else {
                throw .mismatch(
                    reason: "\(rows) x \(columns) pixels, the image has \(source.rows) x \(source.columns)")
            }
            for frame in own {
                for index in pixels.indices where frame.values[index] >= limit { pixels[index] = 1 }
            }
            masks.append(Mask(rows: source.rows, columns: source.columns, pixels: pixels))
        }
        return masks
    }
}
