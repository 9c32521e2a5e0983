// SPDX-License-Identifier: Apache-2.0

import Platform
import Imaging

/// The hash by which two variants of an instance are known to show the same image.
enum ImageDigest {
    /// SHA-256, in hexadecimal, of length-prefixed fields: the Image Pixel and Image Plane attributes as numbers, what
    /// turns stored values into modality units or colours, then the pixel data. Fragments count as one run of bytes and
    /// the basic offset table not at all: archives re-fragment.
    static func make(_ header: InstanceHeader, of data: DataSet) -> String {
        var hash = SHA256()
        for field in fields(header, of: data) { add(Array(field.utf8), to: &hash) }
        for table in [
            Attribute.redPaletteColorLookupTableData, .greenPaletteColorLookupTableData,
            .bluePaletteColorLookupTableData,
        ] {
            add(data.raw(table) ?? [], to: &hash)
        }
        if let pixels = data.element(.pixelData) {
            for part in data.fragments()?.dropFirst() ?? [pixels.range] {
                data.bytes.forEachPiece(of: part) { hash.update(bufferPointer: $0) }
            }
        }
        return hash.finalize().hexadecimal
    }

    private static func fields(_ header: InstanceHeader, of data: DataSet) -> [String] {
        func numbers(_ attribute: Attribute) -> String {
            data.doubles(attribute).map { "\($0)" }.joined(separator: "\\")
        }
        return [
            "\(header.rows)", "\(header.columns)", "\(header.numberOfFrames)", "\(header.samplesPerPixel)",
            header.photometricInterpretation, "\(header.bitsAllocated)", "\(header.bitsStored)", "\(header.highBit)",
            "\(header.isSigned)", "\(header.planarConfiguration)", numbers(.imagePositionPatient),
            numbers(.imageOrientationPatient), numbers(.pixelSpacing), "\(header.sliceThickness ?? 0)",
            "\(header.spacingBetweenSlices ?? 0)", header.frameOfReferenceUID ?? "", numbers(.rescaleSlope),
            numbers(.rescaleIntercept),
        ]
    }

    private static func add(_ bytes: [UInt8], to hash: inout SHA256) {
        withUnsafeBytes(of: UInt64(bytes.count).bigEndian) { hash.update(bufferPointer: $0) }
        hash.update(data: bytes)
    }
}
