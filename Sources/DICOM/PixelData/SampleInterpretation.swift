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

    /// Reads the tables and the linear function that the conversion needs.
    ///
    /// - Throws: `PixelDataError.inconsistent` or `.unsupportedEncoding`.
    init(_ layout: PixelLayout, in data: DataSet) throws(PixelDataError) {
        self.layout = layout
        modalities = try ModalityTransform.ofFrames(layout.frames, in: data, isSigned: layout.isSigned)
        palette = layout.photometric == .paletteColor ? try ColorPalette(data, isSigned: layout.isSigned) : nil
    }

    /// Converts one frame to modality units, or to RGB of 0...255.
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
        return Frame(rows: layout.rows, columns: layout.columns, channels: layout.channels, samples: samples)
    }

    /// The stored bits of each sample, sign-extended.
    private func integers(_ stored: StoredFrame) -> [Int32] {
        let shift = stored.highBit - stored.bitsStored + 1
        let mask = Int32(1) << Int32(stored.bitsStored) - 1
        let sign = layout.isSigned ? Int32(1) << Int32(stored.bitsStored - 1) : 0
        return stored.samples.map { sample in
            let value = Int32(sample) >> Int32(shift) & mask
            return (value ^ sign) - sign
        }
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
        if let item = data.items(.modalityLUTSequence, in: item).first {
            table = try LookupTable(
                descriptor: data.integers(.lutDescriptor, in: item), data: data.element(.lutData, in: item), of: data,
                isSigned: isSigned, name: "the Modality LUT")
            (slope, intercept) = (1, 0)
            return
        }
        table = nil
        let slope = data.contains(.rescaleSlope, in: item) ? data.double(.rescaleSlope, in: item) ?? .nan : 1
        let intercept =
            data.contains(.rescaleIntercept, in: item) ? data.double(.rescaleIntercept, in: item) ?? .nan : 0
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
}

/// A lookup table with its descriptor: number of entries, first mapped value, bits.
struct LookupTable {
    private let entries: [UInt16]
    private let first: Int32
    /// Bits of an entry.
    let bits: Int

    /// Reads a table.
    ///
    /// - Parameters:
    ///   - descriptor: the three numbers of the descriptor.
    ///   - element: the entries.
    ///   - data: the data set that holds them.
    ///   - isSigned: whether stored values are signed.
    ///   - name: the table's name for messages.
    /// - Throws: `PixelDataError.inconsistent` if the descriptor is not usable or entries are missing.
    init(
        descriptor: [Int], data element: ScannedElement?, of data: DataSet, isSigned: Bool, name: String
    ) throws(PixelDataError) {
        guard descriptor.count == 3, descriptor[2] == 8 || (10...16).contains(descriptor[2]) else {
            throw .inconsistent(reason: "the descriptor of \(name) is not usable")
        }
        // In a signed image a US value above 32767 is a negative number. A count of 0 means 65,536.
        let count = descriptor[0] & 0xFFFF == 0 ? 65_536 : descriptor[0] & 0xFFFF
        let unsigned = descriptor[1] & 0xFFFF
        first = isSigned ? Int32(Int16(truncatingIfNeeded: unsigned)) : Int32(unsigned)
        bits = descriptor[2]
        guard let element else { throw .inconsistent(reason: "\(name) has no data") }
        // Entries of 8 bits are in bytes, but some writers put them into words.
        let isBytes = bits == 8 && element.length < 2 * count
        entries =
            isBytes
            ? Self.bytes(element, of: data).prefix(count).map(UInt16.init)
            : Array(data.numbers(element, UInt16.self).prefix(count))
        guard entries.count == count else {
            throw .inconsistent(reason: "\(name) has \(entries.count) entries and should have \(count)")
        }
    }

    /// Entries of one byte.
    ///
    /// The words of a big-endian element other than OB are swapped, so that the low byte comes first.
    private static func bytes(_ element: ScannedElement, of data: DataSet) -> [UInt8] {
        guard element.encoding.isBigEndian, element.vr != .otherByte else { return Array(data.bytes[element.range]) }
        return data.numbers(element, UInt16.self).flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
    }

    /// The entry of a value.
    ///
    /// Values outside the table get its first or last entry.
    subscript(value: Int32) -> UInt16 {
        entries[Int(min(max(value - first, 0), Int32(entries.count - 1)))]
    }
}

/// The red, green and blue Palette Color Lookup Tables.
struct ColorPalette {
    private let tables: [LookupTable]

    /// Reads the three tables.
    ///
    /// - Throws: `PixelDataError.unsupportedEncoding` if they are segmented, `.inconsistent` if they are not usable.
    init(_ data: DataSet, isSigned: Bool) throws(PixelDataError) {
        guard !data.contains(.segmentedRedPaletteColorLookupTableData) else {
            throw .unsupportedEncoding(reason: "its palette is segmented")
        }
        let attributes: [(Attribute, Attribute)] = [
            (.redPaletteColorLookupTableDescriptor, .redPaletteColorLookupTableData),
            (.greenPaletteColorLookupTableDescriptor, .greenPaletteColorLookupTableData),
            (.bluePaletteColorLookupTableDescriptor, .bluePaletteColorLookupTableData),
        ]
        var tables: [LookupTable] = []
        for (descriptor, entries) in attributes {
            tables.append(
                try LookupTable(
                    descriptor: data.integers(descriptor), data: data.element(entries), of: data, isSigned: isSigned,
                    name: "the palette"))
        }
        self.tables = tables
    }

    /// Turns `[pixels]` into `[pixels, 3]`, 0...255.
    func apply(_ values: [Int32]) -> [Float] {
        var out = [Float](repeating: 0, count: values.count * 3)
        for (channel, table) in tables.enumerated() {
            let factor = 255 / Float(Int32(1) << Int32(table.bits) - 1)
            for (pixel, value) in values.enumerated() { out[3 * pixel + channel] = Float(table[value]) * factor }
        }
        return out
    }
}
