// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Supervision

/// The sources of one request, in stack order.
///
/// Each instance is opened and scanned once, here. Decoding, writing and verifying use the open files.
struct StackSources {
    private enum Source {
        case instance(InstanceFile, SegmentRequest.Source)
        /// The path of a PNG or JPEG file.
        case picture(String)
    }

    private var sources: [Source]
    /// The frames that are not segmented although the request names them.
    private(set) var leftOut = LeftOutFrames()
    /// What was mended in decoded frames, in words for the record, each once.
    private(set) var remarks: [String] = []

    /// The number of sources.
    var count: Int { sources.count }

    /// The largest accepted number of frames to segment in one instance.
    private static let frameLimit = 100_000

    /// The largest number of frames to choose from in one instance: two days of video.
    private static let clipLimit = 10_000_000

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
        if let rate = request.framesPerSecond, request.segmenter.accepts == .frames { thin(to: rate) }
    }

    /// Chooses frames of the cine and video instances.
    ///
    /// An instance without a rate keeps all frames. A clip that cannot be opened keeps them, too: its decoder says why.
    private mutating func thin(to rate: Double) {
        for (index, source) in sources.enumerated() {
            // A clip says how many frames it has, also if Number of Frames does not.
            guard case .instance(let file, var named) = source, let timing = try? file.timing(),
                timing.frames <= Self.clipLimit
            else { continue }
            let all = (named.frameNumbers ?? Array(1...max(1, timing.frames))).filter { $0 <= timing.frames }
            guard !all.isEmpty else { continue }
            let chosen = timing.chosen(rate, from: all)
            if chosen.count < file.header.numberOfFrames {
                named.frameNumbers = chosen
                sources[index] = .instance(file, named)
            }
            let notes = chosen.count < all.count ? ["segmented \(chosen.count) of \(all.count) frames"] : []
            take((timing.remarks + notes).map { "\($0) (instance \(named.sopInstanceUID))" })
        }
    }

    private static func open(_ path: String, _ source: SegmentRequest.Source) throws(Refusal) -> InstanceFile {
        do {
            return try InstanceFile(path: path)
        } catch {
            if case .cannotOpen = error { throw .hindered("\(error)") }
            throw .failed("could not read instance \(source.sopInstanceUID): \(error)")
        }
    }

    /// The open instances and their segmented frames, as the writer of a SEG takes them; an empty list for pictures.
    var instances: [SegmentationSource] {
        sources.indices.compactMap { index in
            guard case .instance(let file, let source) = sources[index] else { return nil }
            let leftOut = leftOut.numbers(of: index)
            guard !leftOut.isEmpty else { return SegmentationSource(file, frameNumbers: source.frameNumbers) }
            return SegmentationSource(file, frameNumbers: frameNumbers(of: index).filter { !leftOut.contains($0) })
        }
    }

    /// The number of frames that the request names.
    var frames: Int { sources.indices.reduce(0) { $0 + frameNumbers(of: $1).count } }

    /// The frames of a source that the request names, counted from 1.
    func frameNumbers(of source: Int) -> [Int] {
        guard case .instance(let file, let named) = sources[source] else { return [1] }
        return named.frameNumbers ?? Self.all(file.header)
    }

    /// The frames of an instance; one more than are accepted if it claims more.
    private static func all(_ header: InstanceHeader) -> [Int] {
        Array(1...max(1, min(header.numberOfFrames, frameLimit + 1)))
    }

    /// The header of a source; `nil` for a picture.
    func header(of source: Int) -> InstanceHeader? {
        guard case .instance(let file, _) = sources[source] else { return nil }
        return file.header
    }

    /// For each source the planes of the frames that the request names; `nil` for a frame without usable geometry.
    var planes: [[PlaneGeometry?]] {
        instances.map { source in
            let header = source.file.header
            return (source.frameNumbers ?? Self.all(header)).map { header.plane(ofFrame: $0) }
        }
    }

    /// Leaves frames of a source out of the answer.
    ///
    /// - Parameters:
    ///   - numbers: the frames, counted from 1.
    ///   - source: the index of the source, an instance.
    ///   - reason: the reason in words, without patient data.
    mutating func leaveOut(_ numbers: [Int], of source: Int, because reason: String) {
        guard case .instance(_, let named) = sources[source] else { return }
        leftOut.add(numbers, of: source, named.sopInstanceUID, because: reason)
    }

    /// Takes remarks for the record, each once.
    mutating func take(_ found: [String]) { remarks += found.filter { !remarks.contains($0) } }

    /// Prepares to decode the frames of a source.
    ///
    /// - Throws: `UndecodedFrames` if none of its frames can be decoded.
    func decoder(of source: Int) throws(UndecodedFrames) -> SourceDecoder {
        switch sources[source] {
        case .instance(let file, let named):
            guard frameNumbers(of: source).count <= Self.frameLimit else {
                let reason =
                    "an instance has \(file.header.numberOfFrames) frames; at most \(Self.frameLimit) are "
                    + "segmented: set 'framesPerSecond' of the route"
                throw UndecodedFrames(.unfit(reason), reason: reason)
            }
            do {
                return .instance(try FrameDecoder(file), sopInstanceUID: named.sopInstanceUID)
            } catch {
                throw UndecodedFrames(error, in: named.sopInstanceUID)
            }
        case .picture(let path): return .picture(path)
        }
    }

    /// Decodes the frames that the request names of one source.
    ///
    /// - Throws: `Refusal` if a frame cannot be decoded.
    mutating func decoded(_ source: Int) throws(Refusal) -> [Frame] {
        do throws(UndecodedFrames) {
            let decoder = try decoder(of: source)
            defer {
                take(decoder.remarks)
                decoder.releaseMemory()
            }
            var frames: [Frame] = []
            for number in frameNumbers(of: source) { frames.append(try decoder.frame(number)) }
            return frames
        } catch {
            throw error.refusal
        }
    }
}

/// The decoder of one source, frame by frame.
///
/// One thread uses a decoder.
enum SourceDecoder {
    /// An instance.
    case instance(FrameDecoder, sopInstanceUID: String)
    /// The path of a picture, whose only frame has the number 1.
    case picture(String)

    /// Decodes a frame.
    ///
    /// - Parameter number: counted from 1.
    /// - Returns: the frame.
    /// - Throws: `UndecodedFrames`; other frames of the source may decode nevertheless.
    func frame(_ number: Int) throws(UndecodedFrames) -> Frame {
        let frame: Frame
        switch self {
        case .instance(let decoder, let sopInstanceUID):
            do { frame = try decoder.frame(number) } catch { throw UndecodedFrames(error, in: sopInstanceUID) }
        case .picture(let path):
            do { frame = try Frame(picture: path) } catch { throw UndecodedFrames(error) }
        }
        return frame
    }

    /// What was mended in the frames that were decoded so far, with the instance, in words for the record.
    var remarks: [String] {
        guard case .instance(let decoder, let sopInstanceUID) = self else { return [] }
        return decoder.remarks.map { "\($0) (instance \(sopInstanceUID))" }
    }

    /// Gives back the memory that the mapped pixel data took.
    func releaseMemory() {
        if case .instance(let decoder, _) = self { decoder.releaseMemory() }
    }
}

/// The reason why a frame, or every frame of a source, is not segmented.
struct UndecodedFrames: Error {
    /// The refusal of the whole stack, if no other frame can be segmented.
    let refusal: Refusal
    /// The reason in words, without patient data.
    let reason: String
    /// Whether the stack is refused in any case, because the file cannot be read now.
    let isFinal: Bool

    /// An error beside those of decoders.
    init(_ refusal: Refusal, reason: String) {
        self.refusal = refusal
        self.reason = reason
        isFinal = false
    }

    /// An error of an instance.
    init(_ error: PixelDataError, in sopInstanceUID: String) {
        reason = "\(error)"
        switch error {
        case .dataSet(.cannotOpen): (refusal, isFinal) = (.hindered(reason), true)
        case .unsupportedTransferSyntax, .unsupportedClass, .unsupportedEncoding, .notAnImage:
            (refusal, isFinal) = (.unfit(reason), false)
        case .dataSet, .inconsistent, .tooLarge, .frame:
            (refusal, isFinal) = (.failed("could not decode instance \(sopInstanceUID): \(reason)"), false)
        }
    }

    /// An error of a picture.
    init(_ error: PictureError) {
        reason = "\(error)"
        isFinal = false
        switch error {
        case .unreadableFile: refusal = .hindered(reason)
        case .damaged, .unknownFormat, .unwritable: refusal = .failed(reason)
        }
    }
}
