// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Platform

/// The attributes that frames of one stack share exactly.
///
/// Pixel Spacing, orientation and Echo Time are not among them: they are compared with a tolerance.
struct StackTraits: Hashable {
    let rows: Int
    let columns: Int
    let hasPlane: Bool
    let imageType: [String]
    let echoNumbers: [Int]
    let temporalPosition: Int?
    let stackID: String?

    init(_ header: InstanceHeader) {
        rows = header.rows
        columns = header.columns
        hasPlane = header.plane != nil
        imageType = hasPlane ? header.imageType : []
        echoNumbers = hasPlane ? header.echoNumbers : []
        temporalPosition = hasPlane ? header.temporalPositionIdentifier : nil
        stackID = hasPlane ? header.stackID : nil
    }

    /// The traits that are compared with a tolerance, and what was found while sorting.
    struct Rest {
        /// The plane of any member: the key rounds its directions coarsely, so every member gives the same key.
        var orientation: PlaneGeometry?
        /// Distance between rows, and between columns, in micrometres.
        var pixelSpacing: [Int] = []
        /// The Echo Time of any member, ms; rounded coarsely for the same reason.
        var echoTime: Double?
        /// The frame of reference of all members; `nil` if they lack one.
        var frameOfReferenceUID: String?
        /// Other facts; empty for most stacks, so that their keys are those of earlier versions.
        var others: [[String]] = []
    }

    /// The key of the stack: its size, and a hash of everything else.
    ///
    /// Stacks of different traits have different keys, whatever texts a file holds: see ``Fingerprint``.
    ///
    /// - Returns: ASCII characters without patient data.
    func key(_ rest: Rest) -> String {
        let size = "\(rows)x\(columns)"
        guard let orientation = rest.orientation else { return size }
        let directions = orientation.rowDirection.components + orientation.columnDirection.components
        // Stacks differ by more than 0.1 ms. The offset keeps times with two or three decimals off the edges of steps.
        let echo = rest.echoTime.map { Int(clamped: $0 * 10 + 0.365) }
        var fields: [[String]] = [
            rest.frameOfReferenceUID.map { [$0] } ?? [], imageType, echoNumbers.map(String.init),
            echo.map { [String($0)] } ?? [], temporalPosition.map { [String($0)] } ?? [],
            rest.pixelSpacing.map(String.init), directions.map { String(Int(clamped: $0 * 20)) },
        ]
        if let stackID { fields.append(["Stack ID", stackID]) }
        return "\(size)-\(Fingerprint.of(fields + rest.others))"
    }
}

/// A short name for lists of texts.
///
/// Different lists have different names, unless the first half of SHA-256 collides. Each list is hashed after its number
/// of texts, and each text after its number of bytes. Texts therefore do not run together, whatever characters a sender
/// wrote into them.
enum Fingerprint {
    /// - Returns: 32 hexadecimal digits.
    static func of(_ lists: [[String]]) -> String {
        var hash = SHA256()
        func add(_ number: Int) {
            withUnsafeBytes(of: UInt64(number).bigEndian) { hash.update(bufferPointer: $0) }
        }
        for list in lists {
            add(list.count)
            for text in list {
                add(text.utf8.count)
                hash.update(data: Array(text.utf8))
            }
        }
        return hash.finalize().prefix(16).hexadecimal
    }
}

extension InstanceHeader {
    /// Echo Time in ms; `nil` if it is missing, not a number, or absurdly large.
    var credibleEchoTime: Double? { echoTime.flatMap { $0.magnitude < 1e9 ? $0 : nil } }

    /// Whether two slices belong to the same echo by their Echo Time.
    ///
    /// Many scanners write Echo Number 1 for every echo, so Echo Time must tell echoes apart. Its last digits differ
    /// from slice to slice; echoes differ by more than 0.1 ms and 1%.
    func isOfEcho(of other: InstanceHeader) -> Bool {
        guard plane != nil, other.plane != nil else { return true }
        switch (credibleEchoTime, other.credibleEchoTime) {
        case (nil, nil): return true
        case (let a?, let b?): return abs(a - b) <= max(0.1, 0.01 * max(abs(a), abs(b)))
        default: return false
        }
    }

    /// Whether two slices have the same pixel spacing; rounding changes it by less than 0.1%.
    func hasSpacing(of other: InstanceHeader) -> Bool {
        guard let one = plane, let two = other.plane else { return (plane == nil) == (other.plane == nil) }
        return abs(one.rowSpacing - two.rowSpacing) <= 1e-3 * one.rowSpacing
            && abs(one.columnSpacing - two.columnSpacing) <= 1e-3 * one.columnSpacing
    }

    /// Whether the directions differ by less than about 0.06 degrees: scanners round them to about six digits.
    func isParallel(to other: InstanceHeader) -> Bool {
        guard let one = plane, let two = other.plane else { return (plane == nil) == (other.plane == nil) }
        return (one.rowDirection - two.rowDirection).length < 1e-3
            && (one.columnDirection - two.columnDirection).length < 1e-3
    }
}

extension Int {
    /// The nearest whole number; 0 for a value that is not finite, as a file may hold one.
    init(clamped value: Double) {
        self = value.isFinite ? Int(Swift.max(-1e15, Swift.min(1e15, value.rounded()))) : 0
    }
}
