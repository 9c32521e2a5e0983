// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Supervision

/// The sources of one request, in stack order.
///
/// Each instance is opened and scanned once, here. Decoding, writing and verifying use the open files.
struct StackSources {
    /// A run of frames that is decoded in one piece.
    struct Part {
        /// Index of the source.
        let source: Int
        /// Frame numbers, counted from 1; `nil` for all frames of the source.
        let frameNumbers: [Int]?
    }

    private enum Source {
        case instance(InstanceFile, SegmentRequest.Source)
        /// The path of a PNG or JPEG file.
        case picture(String)
    }

    private let sources: [Source]

    /// The number of sources.
    var count: Int { sources.count }

    /// The largest accepted number of frames in one instance: hours of video.
    private static let frameLimit = 100_000

    /// Opens the instances that a request names; pictures are read when they are decoded.
    ///
    /// - Throws: `Refusal.hindered` if a file cannot be opened, `.failed` if it is not a readable instance.
    init(_ request: SegmentRequest) throws(Refusal) {
        var sources: [Source] = []
        for source in request.sources {
            let path = "\(request.folder)/\(source.path)"
            switch request.form {
            case .pictures: sources.append(.picture(path))
            case .instances: sources.append(.instance(try Self.open(path, source), source))
            }
        }
        self.sources = sources
    }

    private static func open(_ path: String, _ source: SegmentRequest.Source) throws(Refusal) -> InstanceFile {
        do {
            return try InstanceFile(path: path)
        } catch {
            if case .cannotOpen = error { throw .hindered("\(error)") }
            throw .failed("could not read instance \(source.sopInstanceUID): \(error)")
        }
    }

    /// The open instances, as the writer of a SEG takes them; an empty list for pictures.
    var instances: [SegmentationSource] {
        sources.compactMap {
            guard case .instance(let file, let source) = $0 else { return nil }
            return SegmentationSource(file, frameNumbers: source.frameNumbers)
        }
    }

    /// The header of a source; `nil` for a picture.
    func header(of source: Int) -> InstanceHeader? {
        guard case .instance(let file, _) = sources[source] else { return nil }
        return file.header
    }

    /// Splits the stack into parts of at most `samples` samples, because a long instance may not fit into memory.
    ///
    /// - Throws: `Refusal.unfit` if an instance has too many frames.
    func parts(samples: Int) throws(Refusal) -> [Part] {
        var parts: [Part] = []
        for (index, source) in sources.enumerated() {
            guard case .instance(let file, let named) = source else {
                parts.append(Part(source: index, frameNumbers: nil))
                continue
            }
            let header = file.header
            guard header.numberOfFrames <= Self.frameLimit else {
                throw .unfit("an instance has \(header.numberOfFrames) frames; the limit is \(Self.frameLimit)")
            }
            let numbers = named.frameNumbers ?? Array(1...header.numberOfFrames)
            let size = max(1, samples / max(1, header.rows * header.columns * header.samplesPerPixel))
            for start in stride(from: 0, to: numbers.count, by: size) {
                let end = min(start + size, numbers.count)
                parts.append(Part(source: index, frameNumbers: Array(numbers[start..<end])))
            }
        }
        return parts
    }

    /// Decodes the frames that the request names of one source.
    ///
    /// - Throws: `Refusal`.
    func frames(of source: Int) throws(Refusal) -> [Frame] {
        guard case .instance(_, let named) = sources[source] else {
            return try frames(of: Part(source: source, frameNumbers: nil))
        }
        return try frames(of: Part(source: source, frameNumbers: named.frameNumbers))
    }

    /// Decodes the frames of a part.
    ///
    /// - Throws: `Refusal.unfit` if Kontur does not decode such images, `.hindered` if the file cannot be read now,
    ///   `.failed` if its pixels are damaged.
    func frames(of part: Part) throws(Refusal) -> [Frame] {
        switch sources[part.source] {
        case .instance(let file, let source):
            do {
                return try file.frames(part.frameNumbers)
            } catch {
                switch error {
                case .dataSet(.cannotOpen): throw .hindered("\(error)")
                case .unsupportedTransferSyntax, .unsupportedClass, .unsupportedEncoding, .notAnImage:
                    throw .unfit("\(error)")
                case .dataSet, .inconsistent, .tooLarge, .frame:
                    throw .failed("could not decode instance \(source.sopInstanceUID): \(error)")
                }
            }
        case .picture(let path):
            do {
                return [try Frame(picture: path)]
            } catch {
                switch error {
                case .unreadableFile: throw .hindered("\(error)")
                case .damaged, .unknownFormat, .unwritable: throw .failed("\(error)")
                }
            }
        }
    }
}
