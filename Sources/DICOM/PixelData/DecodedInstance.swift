// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// The frames of one instance, ready for a segmenter.
public struct DecodedInstance: Sendable {
    public let header: InstanceHeader
    /// In the order asked for. Grey: modality units, MONOCHROME1 inverted within the range of its stored values; colour:
    /// RGB, 0...255.
    public let frames: [Frame]

    /// Reads and decodes a file.
    ///
    /// - Parameters:
    ///   - path: a Part 10 file.
    ///   - frameNumbers: which frames, counted from 1; all of them when `nil`.
    /// - Throws: `PixelDataError`; `tooLarge` when the frames asked for would take more than 1 GiB.
    /// - SeeAlso: PS3.3 C.7.6.3 (Image Pixel), PS3.3 C.11.1 (Modality LUT), PS3.5 section 8.
    public static func read(path: String, frameNumbers: [Int]? = nil) throws(PixelDataError) -> DecodedInstance {
        let data: DataSet
        let header: InstanceHeader
        do {
            data = try DataSet.open(path: path)
            header = try InstanceHeader(data)
        } catch { throw .dataSet(error) }
        if case .notAnImage(let reason) = header.kind { throw .notAnImage(reason: reason) }
        if let name = functionalGroupClasses[header.sopClassUID] {
            throw .unsupportedClass(name: name, uid: header.sopClassUID)
        }
        guard let syntax = TransferSyntax(rawValue: header.transferSyntaxUID) else {
            throw .unsupportedTransferSyntax(uid: header.transferSyntaxUID)
        }
        return DecodedInstance(header: header, frames: try decode(data, header, syntax, frameNumbers))
    }

    private static func decode(
        _ data: DataSet, _ header: InstanceHeader, _ syntax: TransferSyntax, _ frameNumbers: [Int]?
    ) throws(PixelDataError) -> [Frame] {
        let layout = try PixelLayout(header)
        try layout.checkSize(frames: frameNumbers?.count ?? layout.frames)
        let numbers = frameNumbers ?? Array(1...layout.frames)
        guard numbers.allSatisfy({ (1...layout.frames).contains($0) }) else {
            throw .inconsistent(reason: "a frame is wanted that is not among its \(layout.frames)")
        }
        let interpretation = try SampleInterpretation(layout, in: data)
        var frames: [Frame] = []
        if syntax.isEncapsulated {
            let pixels = try EncapsulatedPixels(layout, syntax: syntax, in: data)
            for number in numbers { frames.append(interpretation.frame(try pixels.frame(number - 1))) }
        } else {
            guard data.fragments() == nil, let element = data.element(.pixelData) else {
                throw .inconsistent(reason: "Pixel Data is in fragments although its transfer syntax does not compress")
            }
            let pixels = try NativePixels(layout, element: element, in: data)
            for number in numbers { frames.append(interpretation.frame(pixels.frame(number - 1))) }
        }
        return frames
    }

    /// Classes whose frames differ in geometry or meaning, as their functional groups say (PS3.3 C.7.6.16).
    private static let functionalGroupClasses: [String: String] = [
        "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image Storage",
        "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image Storage",
        "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR Image Storage",
        "1.2.840.10008.5.1.4.1.1.4.2": "MR Spectroscopy Storage",
        "1.2.840.10008.5.1.4.1.1.4.3": "Enhanced MR Color Image Storage",
        "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR Image Storage",
        "1.2.840.10008.5.1.4.1.1.6.2": "Enhanced US Volume Storage",
        "1.2.840.10008.5.1.4.1.1.12.1.1": "Enhanced XA Image Storage",
        "1.2.840.10008.5.1.4.1.1.12.2.1": "Enhanced XRF Image Storage",
        "1.2.840.10008.5.1.4.1.1.13.1.3": "Breast Tomosynthesis Image Storage",
        "1.2.840.10008.5.1.4.1.1.77.1.6": "VL Whole Slide Microscopy Image Storage",
        "1.2.840.10008.5.1.4.1.1.128.1": "Legacy Converted Enhanced PET Image Storage",
        "1.2.840.10008.5.1.4.1.1.130": "Enhanced PET Image Storage",
    ]
}
