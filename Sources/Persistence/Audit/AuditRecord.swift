// SPDX-License-Identifier: Apache-2.0
//
// One record of the audit trail. `AuditRecord.fields` is the only list of its fields: the hash, the database and the
// page docs/audit.md follow it. A change of the list or of the hash needs a new format number.

public import Foundation
import GRDB
import Platform

/// One record of the audit trail; ``fields`` states the meaning of each property.
///
/// Lists of SOP Instance UIDs are separated by spaces. An absent value is `nil`.
public struct AuditRecord: Sendable, Equatable, Codable {
    /// The format that this program writes.
    public static let currentFormat: Int64 = 1

    /// The ``previousHash`` of the first record of a trail: 64 zeros.
    public static let origin = String(repeating: "0", count: 64)

    /// Format of the record: ``currentFormat``.
    public var format: Int64 = 0
    /// Number of the record; counts from 1 without gaps.
    public var number: Int64 = 0
    /// Microseconds since 1970-01-01T00:00:00Z.
    public var time: Int64 = 0
    /// Hash of the record before, or ``origin``.
    public var previousHash = ""
    /// Name of the event: ``AuditEvent/Name``.
    public var event = ""

    /// AE title of the peer.
    public var aeTitle: String?
    /// IP address or host name of the peer.
    public var address: String?
    /// SHA-256 of the certificate that the peer showed.
    public var certificate: String?
    /// Login name of the operator.
    public var user: String?

    /// Study Instance UID.
    public var study: String?
    /// Series Instance UID.
    public var series: String?
    /// Revision of the series.
    public var revision: Int64?
    /// Number of the job.
    public var job: Int64?
    /// SOP Instance UIDs that went in.
    public var instancesIn: String?
    /// SOP Instance UIDs that came out.
    public var instancesOut: String?
    /// SOP Instance UIDs that ``instancesOut`` replace.
    public var predecessors: String?
    /// Number of instances, series or records that this record stands for.
    public var count: Int64?

    /// Name of the route.
    public var route: String?
    /// SHA-256 of the configuration, in hexadecimal digits.
    public var configurationHash: String?
    /// Name of the segmenter.
    public var segmenter: String?
    /// Version of the segmenter's recipe.
    public var segmenterVersion: String?
    /// SHA-256 of the weight file, in hexadecimal digits.
    public var weightsHash: String?
    /// Confidence of the result, 0...1.
    public var confidence: Double?

    /// `success`, `retry` or `failure`.
    public var outcome = ""
    /// The reason in words, printable ASCII.
    public var reason: String?
    /// Hash of this record, 64 hexadecimal digits.
    public var hash = ""

    /// The time of the event, for display.
    public var date: Date { Date(microseconds: time) }
}

// MARK: - The table of fields

/// One field of an audit record: its name, its meaning, and where a record holds it.
public struct AuditField: Sendable {
    /// Name of the column in the database, of the key in an exported line, and of the row in `docs/audit.md`.
    public let name: String
    /// Meaning of the field in Markdown, as `docs/audit.md` prints it.
    public let meaning: String

    /// The value of the column, which the hash covers.
    let databaseValue: @Sendable (AuditRecord) -> DatabaseValue
    /// Copies a column's value into a record; a value of another type counts as absent.
    let decode: @Sendable (DatabaseValue, inout AuditRecord) -> Void

    /// A field that every record has.
    fileprivate init<Value: AuditFieldValue>(
        _ name: String, _ path: any WritableKeyPath<AuditRecord, Value> & Sendable, _ meaning: String
    ) {
        self.name = name
        self.meaning = meaning
        databaseValue = { $0[keyPath: path].databaseValue }
        decode = { $1[keyPath: path] = Value.fromDatabaseValue($0) ?? Value.absent }
    }

    /// A field that may be absent.
    fileprivate init<Value: AuditFieldValue>(
        _ name: String, _ path: any WritableKeyPath<AuditRecord, Value?> & Sendable, _ meaning: String
    ) {
        self.name = name
        self.meaning = meaning
        databaseValue = { $0[keyPath: path]?.databaseValue ?? .null }
        decode = { $1[keyPath: path] = Value.fromDatabaseValue($0) }
    }
}

extension AuditRecord {
    /// All fields in the order of the hash; the last one is the hash itself.
    public static let fields: [AuditField] = [
        AuditField("format", \.format, "format of the record: 1"),
        AuditField("number", \.number, "number of the record; counts from 1 without gaps"),
        AuditField("time", \.time, "microseconds since 1970-01-01T00:00:00Z"),
        AuditField("previousHash", \.previousHash, "`hash` of the record before; 64 zeros in the first record"),
        AuditField("event", \.event, "name of the event, see below"),
        AuditField("aeTitle", \.aeTitle, "AE title of the peer that called the node or that the node called"),
        AuditField("address", \.address, "IP address or host name of that peer"),
        AuditField(
            "certificate", \.certificate, "SHA-256 of the certificate that it showed; absent on plain connections"),
        AuditField("user", \.user, "login name of the operator who ran a command"),
        AuditField("study", \.study, "Study Instance UID"),
        AuditField("series", \.series, "Series Instance UID"),
        AuditField("revision", \.revision, "revision of the series, counted from 1"),
        AuditField("job", \.job, "number of the job in this spool"),
        AuditField("instancesIn", \.instancesIn, "SOP Instance UIDs that went in, separated by spaces"),
        AuditField("instancesOut", \.instancesOut, "SOP Instance UIDs that came out, separated by spaces"),
        AuditField("predecessors", \.predecessors, "SOP Instance UIDs that `instancesOut` replace"),
        AuditField("count", \.count, "number of instances or records that this record stands for"),
        AuditField("route", \.route, "name of the route that decided"),
        AuditField("configurationHash", \.configurationHash, "SHA-256 of the configuration that contains the route"),
        AuditField("segmenter", \.segmenter, "name of the segmenter"),
        AuditField("segmenterVersion", \.segmenterVersion, "version of the segmenter's recipe"),
        AuditField("weightsHash", \.weightsHash, "SHA-256 of the weight file"),
        AuditField("confidence", \.confidence, "confidence of the result, 0 to 1"),
        AuditField("outcome", \.outcome, "`success`, `retry` or `failure`"),
        AuditField("reason", \.reason, "reason in words, printable ASCII"),
        AuditField("hash", \.hash, "SHA-256 of all fields above"),
    ]

    /// Reads a row of the table `audit`; a missing or mistyped value becomes absent, which the hash then shows.
    init(row: Row) {
        self.init()
        for field in Self.fields { field.decode(row[field.name], &self) }
    }

    /// SHA-256 over every field except ``hash``, in hexadecimal digits.
    ///
    /// Each field contributes its byte count (8 bytes, big-endian) and its bytes. An absent field contributes only the
    /// count 2^64 - 1. Integers are 8 bytes big-endian, the confidence is its IEEE 754 bit pattern, and text is UTF-8.
    public func computedHash() -> String { Self.hash(of: valuesWithoutHash) }

    /// The columns in their order, except ``hash``.
    private var valuesWithoutHash: [DatabaseValue] { Self.fields.dropLast().map { $0.databaseValue(self) } }

    /// Sets ``hash``, and returns the values of all columns.
    mutating func sealed() -> [(any DatabaseValueConvertible)?] {
        let hashed = valuesWithoutHash
        hash = Self.hash(of: hashed)
        var values: [(any DatabaseValueConvertible)?] = hashed
        values.append(hash)
        return values
    }

    private static func hash(of values: [DatabaseValue]) -> String {
        var hashed: [UInt8] = []
        hashed.reserveCapacity(1024)
        func append(_ number: UInt64) { withUnsafeBytes(of: number.bigEndian) { hashed.append(contentsOf: $0) } }
        for value in values {
            switch value.storage {
            case .null: append(.max)
            case .int64(let number):
                append(8)
                append(UInt64(bitPattern: number))
            case .double(let number):
                append(8)
                append(number.bitPattern)
            case .string(let text):
                append(UInt64(text.utf8.count))
                hashed.append(contentsOf: text.utf8)
            case .blob(let bytes):
                append(UInt64(bytes.count))
                hashed.append(contentsOf: bytes)
            }
        }
        return SHA256.hash(data: hashed).hexadecimal
    }
}

/// A value that a field of an audit record can hold.
private protocol AuditFieldValue: DatabaseValueConvertible, Sendable {
    /// Stands for a value that a tampered database lacks.
    static var absent: Self { get }
}

extension Int64: AuditFieldValue {
    fileprivate static var absent: Int64 { 0 }
}

extension Double: AuditFieldValue {
    fileprivate static var absent: Double { 0 }
}

extension String: AuditFieldValue {
    fileprivate static var absent: String { "" }
}
