// SPDX-License-Identifier: Apache-2.0
//
// Decoding: PS3.3 C.7.6.3 (Image Pixel), PS3.3 C.11.1 (Modality LUT), PS3.5 section 8. Left out: images with
// functional groups that give frames another meaning than Kontur knows, and the codecs that `TransferSyntax` does not list.

public import Imaging

extension InstanceFile {
    /// Decodes frames.
    ///
    /// The memory that the mapped pixel data took is given back afterwards.
    ///
    /// - Parameter numbers: the frames to decode, counted from 1; `nil` for all of them.
    /// - Returns: the frames in the order of `numbers`. Grey frames hold modality units, with MONOCHROME1 inverted
    ///   within the range of its stored values. Colour frames hold RGB, 0...255.
    /// - Throws: `PixelDataError`; `tooLarge` if the frames would take more than 1 GiB.
    public func frames(_ numbers: [Int]? = nil) throws(PixelDataError) -> [Frame] {
        let layout = try decodableLayout().layout
        try layout.checkSize(frames: numbers?.count ?? layout.frames)
        let numbers = numbers ?? Array(1...layout.frames)
        guard numbers.allSatisfy({ (1...layout.frames).contains($0) }) else {
            throw .inconsistent(reason: "frame numbers go from 1 to \(layout.frames)")
        }
        let decoder = try FrameDecoder(self)
        defer { decoder.releaseMemory() }
        var frames: [Frame] = []
        for number in numbers { frames.append(try decoder.frame(number)) }
        return frames
    }

    /// The layout and the encoding of the pixels.
    ///
    /// - Throws: `PixelDataError` if Kontur does not decode such images.
    fileprivate func decodableLayout() throws(PixelDataError) -> (layout: PixelLayout, syntax: TransferSyntax) {
        if case .notAnImage(let reason) = header.kind { throw .notAnImage(reason: reason) }
        if let known = SOPClass.image(header.sopClassUID), known.functionalGroups == .unsupported {
            throw .unsupportedClass(name: known.name, uid: known.uid)
        }
        guard let syntax = TransferSyntax(rawValue: header.transferSyntaxUID) else {
            throw .unsupportedTransferSyntax(uid: header.transferSyntaxUID)
        }
        return (try PixelLayout(header), syntax)
    }
}

/// The decoder of one instance, frame by frame.
///
/// One thread uses a decoder. The frames of a video depend on earlier ones: asking for them in ascending order decodes the
/// clip once.
public struct FrameDecoder {
    private enum Pixels {
        case native(NativePixels)
        case encapsulated(EncapsulatedPixels)
        case video(VideoPixels)
    }

    let layout: PixelLayout
    private let data: DataSet
    private let pixels: Pixels
    private let interpretation: SampleInterpretation
    private let mended = DecodingRemarks()

    /// What was mended in the frames that were decoded so far, in words for the record.
    public var remarks: [String] { mended.all }

    /// Finds the frames and reads the tables that their samples need.
    ///
    /// - Throws: `PixelDataError` if Kontur does not decode such images, or if the attributes contradict each other.
    public init(_ file: InstanceFile) throws(PixelDataError) {
        let syntax: TransferSyntax
        (layout, syntax) = try file.decodableLayout()
        do { data = try file.dataSet() } catch { throw .dataSet(error) }
        interpretation = try SampleInterpretation(layout, in: data)
        if let remark = layout.remark { mended.add(remark) }
        if syntax.isVideo {
            pixels = .video(try VideoPixels(layout, in: data, remarks: mended))
        } else if syntax.isEncapsulated {
            pixels = .encapsulated(try EncapsulatedPixels(layout, syntax: syntax, in: data, remarks: mended))
        } else {
            guard data.fragments() == nil, let element = data.element(.pixelData) else {
                throw .inconsistent(reason: "Pixel Data is in fragments although its transfer syntax does not compress")
            }
            pixels = .native(try NativePixels(layout, element: element, in: data, remarks: mended))
        }
    }

    /// Decodes one frame, counted from 1.
    ///
    /// - Returns: a frame as `InstanceFile.frames(_:)` describes it.
    /// - Throws: `PixelDataError`; other frames of the instance may decode nevertheless.
    public func frame(_ number: Int) throws(PixelDataError) -> Frame {
        guard (1...layout.frames).contains(number) else {
            throw .inconsistent(reason: "frame numbers go from 1 to \(layout.frames)")
        }
        try layout.checkSize(frames: 1)
        return switch pixels {
        case .native(let pixels): interpretation.frame(pixels.frame(number - 1), number: number)
        case .encapsulated(let pixels): interpretation.frame(try pixels.frame(number - 1), number: number)
        case .video(let pixels): interpretation.frame(try pixels.frame(number - 1), number: number)
        }
    }

    /// Gives back the memory that the mapped pixel data took.
    public func releaseMemory() { if let pixels = data.element(.pixelData) { data.bytes.release(pixels.range) } }
}

/// The reason why the pixels of an instance could not be decoded.
///
/// Frames are numbered from 1, as in PS3.3.
public enum PixelDataError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A deflated data set could not be inflated again.
    case dataSet(DataSetError)
    /// The instance does not hold an image to segment.
    case notAnImage(reason: String)
    /// A syntax that Kontur does not decode, such as JPEG XL or JPEG 2000 Part 2.
    case unsupportedTransferSyntax(uid: String)
    /// A class with functional groups that Kontur does not understand, such as Enhanced MR Color.
    case unsupportedClass(name: String, uid: String)
    /// A combination of Image Pixel attributes that Kontur does not decode.
    case unsupportedEncoding(reason: String)
    /// Attributes that contradict each other or the bytes of Pixel Data.
    case inconsistent(reason: String)
    /// The decoded frames would take more than `limit` bytes.
    case tooLarge(bytes: Int, limit: Int)
    /// The bytes of one frame do not decode.
    case frame(number: Int, reason: String)

    /// The mistake, its place, and the remedy for the sender.
    public var description: String {
        switch self {
        case .dataSet(let error): error.description
        case .notAnImage(let reason): "there is no image to decode: \(reason)"
        case .unsupportedTransferSyntax(let uid):
            "cannot decode transfer syntax \(TransferSyntax.name(of: uid)); have the sender use another"
        case .unsupportedClass(let name, let uid): "cannot decode images of SOP class \(name) (\(uid))"
        case .unsupportedEncoding(let reason): "cannot decode these pixels: \(reason)"
        case .inconsistent(let reason): "the image contradicts itself: \(reason)"
        case .tooLarge(let bytes, let limit): "the decoded frames would take \(bytes) bytes; the limit is \(limit)"
        case .frame(let number, let reason): "could not decode frame \(number): \(reason)"
        }
    }
}
