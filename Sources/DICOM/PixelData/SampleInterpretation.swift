// SPDX-License-Identifier: Apache-2.0
//
// Converts stored values to the samples of frames: PS3.3 C.7.6.3.1.2 (Photometric Interpretation), C.7.6.3.1.5 and .6
// (palettes), C.11.1 (Modality LUT).

import Imaging

/// The conversion of the stored frames of one instance into `Frame`s.
struct SampleInterpretation {
    private let layout: PixelLayout
    /// The transform of each frame, or one for all of them.
    private let modalities: [ModalityTransform]
    private let palette: ColorPalette?
    private let padding: PixelPadding?

    /// Reads the tables and the linear function that the conversion needs.
    ///
    /// - Throws: `PixelDataError.inconsistent` or `.unsupportedEncoding`.
    init(_ layout: PixelLayout, in data: DataSet) throws(PixelDataError) {
        self.layout = layout
        modalities = try ModalityTransform.ofFrames(layout.frames, in: data, isSigned: layout.isSigned)
        palette = layout.photometric == .paletteColor ? try ColorPalette(data, isSigned: layout.isSigned) : nil
        padding = PixelPadding(layout, in: data)
        if layout.bitsAllocated > 16, palette != nil {
            throw .unsupportedEncoding(reason: "its palette is for samples of \(layout.bitsAllocated) bits")
        }
    }

    /// Converts one frame to modality units, or to RGB of 0...255.
    ///
    /// Padded pixels keep the value that was stored, and the frame marks them.
    ///
    /// - Parameters:
    ///   - stored: the stored values.
    ///   - number: the number of the frame, counted from 1.
    /// - Returns: the frame.
    func frame(_ stored: StoredFrame, number: Int) -> Frame {
        if let bytes = stored.bytes {
            return Frame(rows: layout.rows, columns: layout.columns, channels: layout.channels, bytes: bytes)
        }
        let modality = modalities[min(number, modalities.count) - 1]
        guard stored.wide.isEmpty else { return wideFrame(stored, modality) }
        let values = integers(stored)
        let samples: [Float]
        switch stored.photometric {
        case .monochrome2: samples = values.map(modality.apply)
        case .monochrome1:
            // Inverted within the range of stored values, so that a larger value is brighter.
            let sum = layout.isSigned ? -1 : Int32(1) << Int32(stored.bitsStored) - 1
            samples = values.map { modality.apply(sum - $0) }
        case .paletteColor: samples = palette?.apply(values) ?? []
        // A codec has turned these into RGB.
        case .rgb, .ybrICT, .ybrRCT, .ybrPartial420: samples = scaled(values, bits: stored.bitsStored)
        case .ybrFull, .ybrFull422: samples = Self.rgb(fromYBR: scaled(values, bits: stored.bitsStored))
        }
        return Frame(
            rows: layout.rows, columns: layout.columns, channels: layout.channels, samples: samples,
            padding: padding?.mask(values, of: stored) ?? [])
    }

    /// Converts a frame of samples of more than 16 bits.
    private func wideFrame(_ stored: StoredFrame, _ modality: ModalityTransform) -> Frame {
        let shift = Int64(stored.highBit - stored.bitsStored + 1)
        let mask = Int64(1) << Int64(stored.bitsStored) - 1
        let sign = layout.isSigned ? Int64(1) << Int64(stored.bitsStored - 1) : 0
        let values = stored.wide.map { ((Int64($0) >> shift & mask) ^ sign) - sign }
        let samples: [Float]
        switch stored.photometric {
        case .monochrome1: samples = values.map { modality.apply((layout.isSigned ? -1 : mask) - $0) }
        case .monochrome2: samples = values.map { modality.apply($0) }
        default:
            let colours = values.map { Float(Double($0) * 255 / Double(mask)) }
            samples = stored.photometric == .rgb ? colours : Self.rgb(fromYBR: colours)
        }
        return Frame(rows: layout.rows, columns: layout.columns, channels: layout.channels, samples: samples)
    }

    /// The stored bits of each sample, sign-extended.
    private func integers(_ stored: StoredFrame) -> [Int32] {
        let shift = Self.holdsLowBits(stored) ? 0 : stored.highBit - stored.bitsStored + 1
        let mask = Int32(1) << Int32(stored.bitsStored) - 1
        let sign = layout.isSigned ? Int32(1) << Int32(stored.bitsStored - 1) : 0
        return stored.samples.map { sample in
            let value = Int32(sample) >> Int32(shift) & mask
            return (value ^ sign) - sign
        }
    }

    /// Whether the values lie in the low bits although High Bit says otherwise.
    ///
    /// Some writers put 12 bits into the low bits of a word and set High Bit to 15. Then no bit above Bits Stored is set,
    /// and some bits below the shifted value are.
    private static func holdsLowBits(_ stored: StoredFrame) -> Bool {
        let shift = stored.highBit - stored.bitsStored + 1
        guard shift > 0 else { return false }
        let set = stored.samples.reduce(0) { $0 | $1 }
        return set >> UInt16(stored.bitsStored) == 0 && set & (1 << UInt16(shift) - 1) != 0
    }

    /// Scales colours to 0...255.
    private func scaled(_ values: [Int32], bits: Int) -> [Float] {
        guard bits != 8 else { return values.map(Float.init) }
        let factor = 255 / Float(Int32(1) << Int32(bits) - 1)
        return values.map { Float($0) * factor }
    }

    /// Converts YBR_FULL to RGB (PS3.3 C.7.6.3.1.2), rounded to whole numbers as JPEG decoders do.
    private static func rgb(fromYBR ybr: [Float]) -> [Float] {
        var out = ybr
        for i in stride(from: 0, to: ybr.count, by: 3) {
            let (y, blue, red) = (ybr[i], ybr[i + 1] - 128, ybr[i + 2] - 128)
            out[i] = limited(y + 1.402 * red)
            out[i + 1] = limited(y - 0.344136 * blue - 0.714136 * red)
            out[i + 2] = limited(y + 1.772 * blue)
        }
        return out
    }

    private static func limited(_ value: Float) -> Float { min(max(value.rounded(), 0), 255) }
}

/// The conversion of stored values to modality units: a linear function, or a table.
struct ModalityTransform {
    private let slope: Float
    private let intercept: Float
    private let table: LookupTable?

    /// The transforms of the frames of an instance: one if the frames do not have transforms of their own.
    ///
    /// - SeeAlso: PS3.3 C.7.6.16.2.9 (Pixel Value Transformation).
    static func ofFrames(
        _ count: Int, in data: DataSet, isSigned: Bool
    ) throws(PixelDataError) -> [ModalityTransform] {
        guard let groups = FunctionalGroupItems(data), groups.transformation(frame: 0) != nil else {
            return [try ModalityTransform(data, isSigned: isSigned)]
        }
        var transforms: [ModalityTransform] = []
        for frame in 0..<max(1, min(count, groups.count)) {
            transforms.append(try ModalityTransform(data, in: groups.transformation(frame: frame), isSigned: isSigned))
        }
        return transforms
    }

    /// Reads the Modality LUT, or Rescale Slope and Rescale Intercept, of an item or of the instance.
    init(_ data: DataSet, in item: DataSet.Item? = nil, isSigned: Bool) throws(PixelDataError) {
        if let item = data.items(.modalityLUTSequence, in: item)
            .first(where: { data.contains(.lutDescriptor, in: $0) })
        {
            table = try LookupTable(
                descriptor: data.integers(.lutDescriptor, in: item), data: data.element(.lutData, in: item), of: data,
                isSigned: isSigned, name: "the Modality LUT")
            (slope, intercept) = (1, 0)
            return
        }
        table = nil
        let slope = data.hasValue(.rescaleSlope, in: item) ? data.double(.rescaleSlope, in: item) ?? .nan : 1
        let intercept =
            data.hasValue(.rescaleIntercept, in: item) ? data.double(.rescaleIntercept, in: item) ?? .nan : 0
        // Between these limits, neither a value nor the inverse of a difference leaves the range of a Float.
        guard (1e-30..<1e9).contains(abs(slope)), abs(intercept) < 1e9 else {
            throw .inconsistent(reason: "Rescale Slope or Rescale Intercept is not a usable number")
        }
        (self.slope, self.intercept) = (Float(slope), Float(intercept))
    }

    /// The modality units of a stored value.
    func apply(_ value: Int32) -> Float {
        if let table { return Float(table[value]) }
        return Float(value) * slope + intercept
    }

    /// The modality units of a stored value of more than 16 bits.
    func apply(_ value: Int64) -> Float {
        if let table { return Float(table[Int32(clamping: value)]) }
        return Float(Double(value) * Double(slope) + Double(intercept))
    }
}
