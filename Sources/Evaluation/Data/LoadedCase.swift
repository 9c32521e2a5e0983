// SPDX-License-Identifier: Apache-2.0

internal import DICOM
public import Imaging

/// The pixels and the truth of a case, in the order of its images.
public struct LoadedCase: Sendable {
    public var frames: [Frame]
    public var truth: [Mask]

    /// - Throws: `EvaluationError`.
    public init(_ source: EvaluationCase) throws(EvaluationError) {
        frames = []
        for image in source.images { frames.append(try Self.frame(image, isPicture: source.isPicture)) }
        switch source.truth {
        case .nothing: truth = frames.map { Mask(rows: $0.rows, columns: $0.columns) }
        case .picture(let path):
            guard frames.count == 1 else {
                throw .mismatch(reason: "it is one picture for \(frames.count) slices: give a SEG")
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

    /// A label map of small numbers would be an empty truth: only what is not kept as JPEG can be told from noise.
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
                reason: "its largest value is \(largest), and only what is above 127 belongs to the structure: "
                    + "write that as 255")
        }
        return mask
    }

    private static func frame(_ image: EvaluationCase.Image, isPicture: Bool) throws(EvaluationError) -> Frame {
        do {
            if isPicture { return try Frame(picture: image.path) }
            let decoded = try DecodedInstance.read(
                path: image.path, frameNumbers: image.frameNumber.map { [$0] })
            guard let frame = decoded.frames.first else {
                throw EvaluationError.unreadable(path: image.path, reason: "it has no frames")
            }
            return frame
        } catch let error as EvaluationError {
            throw error
        } catch {
            throw .unreadable(path: image.path, reason: "\(error)")
        }
    }
}

/// What a SEG says of the images it refers to.
public struct SegmentationTruth: Sendable {
    /// Instances that its frames refer to.
    public let instances: Set<String>
    private let path: String
    private let rows: Int
    private let columns: Int
    private let frames: [SegmentationReader.Frame]
    private let limit: UInt8

    /// - Parameter segment: the only Segment Number to take; `nil` takes all segments together.
    /// - Throws: `EvaluationError`.
    public init(path: String, segment: Int?) throws(EvaluationError) {
        let reader: SegmentationReader
        do {
            reader = try SegmentationReader(path: path)
        } catch {
            throw .unreadable(path: path, reason: "\(error)")
        }
        self.path = path
        (rows, columns) = (reader.rows, reader.columns)
        // Fractional truth: at least one half, of 255 at most.
        limit = reader.type == .binary ? 1 : 128
        frames = reader.frames.filter { segment == nil || $0.segmentNumber == segment }
        instances = Set(reader.frames.map(\.sourceInstanceUID))
    }

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
