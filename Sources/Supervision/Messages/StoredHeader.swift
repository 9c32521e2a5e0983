// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Foundation

/// The header of an instance without the patient's id, with the form in which the journal stores it.
///
/// The worker makes this form, so that the node does not have to encode every header again. A message holds it as one
/// text, and the node reads it before it stores it.
public struct StoredHeader: Sendable, Codable {
    /// The attributes; `patientID` is `nil`.
    public let header: InstanceHeader
    /// The header as JSON.
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
        self.header = stored
        encoded = try encoder.encode(stored)
    }

    /// Reads a header that was stored.
    ///
    /// - Throws: `DecodingError`.
    public init(encoded: Data) throws {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        header = try decoder.decode(InstanceHeader.self, from: encoded)
        self.encoded = encoded
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        try self.init(encoded: container.decode(Data.self))
        guard header.patientID == nil else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "the header names its patient")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(encoded)
    }
}

extension StoredHeader: Hashable {
    // JSON does not fix the order of members.
    public static func == (one: Self, other: Self) -> Bool { one.header == other.header }
    public func hash(into hasher: inout Hasher) { hasher.combine(header) }
}
