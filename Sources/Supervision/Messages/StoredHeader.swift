// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Foundation

/// The header of an instance in the form in which the journal stores it, and the parts of it that the node needs at once.
///
/// The worker makes this form, without the patient's id. The node decodes a header only when it closes the series:
/// decoding takes longer than everything else that the node does with the answer.
public struct StoredHeader: Sendable, Codable {
    /// Study Instance UID.
    public let studyInstanceUID: String
    /// Series Instance UID.
    public let seriesInstanceUID: String
    /// Modality, such as `MR`.
    public let modality: String?
    /// Whether there is an image to segment.
    public let kind: InstanceHeader.Kind
    /// Whether the instance names Kontur as its maker.
    public let namesKontur: Bool
    /// The whole header as JSON.
    public let encoded: Data

    /// Encodes a header, without the patient's id.
    ///
    /// - Throws: `EncodingError`.
    public init(_ header: InstanceHeader) throws {
        var stored = header
        stored.patientID = nil
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        studyInstanceUID = stored.studyInstanceUID
        seriesInstanceUID = stored.seriesInstanceUID
        modality = stored.modality
        kind = stored.kind
        namesKontur = stored.namesKontur
        encoded = try encoder.encode(stored)
    }

    /// Decodes a header that was stored.
    ///
    /// - Throws: `DecodingError`.
    public static func header(encoded: Data) throws -> InstanceHeader {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try decoder.decode(InstanceHeader.self, from: encoded)
    }
}

extension StoredHeader: Hashable {
    // JSON does not fix the order of members.
    public static func == (one: Self, other: Self) -> Bool {
        guard let header = try? header(encoded: one.encoded) else { return one.encoded == other.encoded }
        return header == (try? Self.header(encoded: other.encoded))
    }
    public func hash(into hasher: inout Hasher) { hasher.combine(seriesInstanceUID) }
}
