// SPDX-License-Identifier: Apache-2.0
//
// One record of the trail, and the hash that chains it to the one before: SHA-256 over length-prefixed fields in a
// fixed order. `docs` restate the format for auditors; a change of it takes a new format number.

import Platform
public import Foundation

/// One record of the audit trail.
public struct AuditRecord: Sendable, Equatable, Codable {
    /// The format that this program writes.
    public static let currentFormat = 1

    /// Counts from 1 without gaps.
    public var number: Int64
    public var format: Int
    /// Microseconds since 1970-01-01T00:00:00Z.
    public var time: Int64
    public var event: String

    // Who.
    public var aeTitle: String?
    public var address: String?
    public var certificate: String?
    public var user: String?

    // What.
    public var study: String?
    public var series: String?
    public var revision: Int64?
    public var job: Int64?
    /// SOP instance UIDs that went in, separated by spaces.
    public var instancesIn: String?
    /// SOP instance UIDs that came out, separated by spaces.
    public var instancesOut: String?
    /// SOP instance UIDs that those coming out replace, separated by spaces.
    public var predecessors: String?
    public var count: Int64?

    // How.
    public var route: String?
    public var configurationHash: String?
    public var segmenter: String?
    public var segmenterVersion: String?
    public var weightsHash: String?
    public var confidence: Double?

    public var outcome: String
    public var reason: String?

    /// The hash of the record before, 64 hex digits.
    public var previousHash: String
    /// The hash of this record, 64 hex digits.
    public var hash: String

    /// What the first record of a trail names as the one before.
    public static let origin = String(repeating: "0", count: 64)

    /// When, for display.
    public var date: Date { Date(timeIntervalSince1970: Double(time) / 1e6) }

    /// SHA-256, in hex, over every field but ``hash`` itself.
    ///
    /// Each field is its byte count (8 bytes, big-endian) and its bytes; an absent one is the count 2^64 - 1 alone.
    /// Integers are 8 bytes big-endian, the confidence its IEEE 754 bit pattern, text UTF-8. The order is that of the
    /// lines below.
    public func computedHash() -> String {
        var hasher = SHA256()
        func add(_ bytes: [UInt8]?) {
            withUnsafeBytes(of: (bytes.map { UInt64($0.count) } ?? .max).bigEndian) { hasher.update(bufferPointer: $0) }
            if let bytes { hasher.update(data: bytes) }
        }
        func add(_ value: Int64?) {
            add(value.map { withUnsafeBytes(of: $0.bigEndian) { Array($0) } })
        }
        func add(_ text: String?) { add(text.map { Array($0.utf8) }) }
        add(Int64(format))
        add(number)
        add(time)
        add(previousHash)
        add(event)
        for text in [aeTitle, address, certificate, user, study, series] { add(text) }
        add(revision)
        add(job)
        for text in [instancesIn, instancesOut, predecessors] { add(text) }
        add(count)
        for text in [route, configurationHash, segmenter, segmenterVersion, weightsHash] { add(text) }
        add(confidence.map { Int64(bitPattern: $0.bitPattern) })
        add(outcome)
        add(reason)
        return hasher.finalize().hexadecimal
    }
}
