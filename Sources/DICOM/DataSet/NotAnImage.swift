// SPDX-License-Identifier: Apache-2.0
//
// SOP classes with nothing to segment: PS3.4 table B.5-1.

enum NotAnImage {
    /// Why an instance is not an image to segment; `nil` when it is one.
    static func reason(sopClassUID: String, in data: DataSet) -> String? {
        if let row = classes.first(where: { sopClassUID == $0.uid || sopClassUID.hasPrefix($0.uid + ".") }) {
            return row.reason
        }
        let holdsPixels = data.contains(.pixelData)
        if !holdsPixels, data.contains(.floatPixelData) || data.contains(.doubleFloatPixelData) {
            return "its pixels are floating-point numbers"
        }
        return holdsPixels ? nil : "it has no Pixel Data"
    }

    /// A class, or the branch under which all classes are alike.
    private static let classes: [(uid: String, reason: String)] = [
        ("1.2.840.10008.5.1.4.1.1.66.4", "it is a Segmentation"),
        ("1.2.840.10008.5.1.4.1.1.66.7", "it is a Label Map Segmentation"),
        ("1.2.840.10008.5.1.4.1.1.66", "it is raw data, a registration or a surface"),
        ("1.2.840.10008.5.1.4.1.1.67", "it is a Real World Value Mapping"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "it is a Key Object Selection Document"),
        ("1.2.840.10008.5.1.4.1.1.88", "it is a Structured Report"),
        ("1.2.840.10008.5.1.4.1.1.11", "it is a Presentation State"),
        ("1.2.840.10008.5.1.4.1.1.481", "it is a radiotherapy object"),
        ("1.2.840.10008.5.1.4.1.1.104", "it is an encapsulated document"),
        ("1.2.840.10008.5.1.4.1.1.9", "it is a waveform"),
        ("1.2.840.10008.5.1.4.1.1.30", "it is a Parametric Map"),
        ("1.2.840.10008.5.1.4.1.1.78", "it is an ophthalmic measurement"),
        ("1.2.840.10008.5.1.4.1.1.79", "it is an ophthalmic measurement"),
        ("1.2.840.10008.1.3.10", "it is a Media Storage Directory"),
    ]
}
