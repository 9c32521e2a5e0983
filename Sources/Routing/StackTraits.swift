// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging

/// What instances of one stack have in common exactly; orientation and Echo Time, which are compared with
/// a tolerance, stand apart.
struct StackTraits: Hashable {
    private let seriesInstanceUID: String
    private let rows: Int
    private let columns: Int
    private let hasPlane: Bool
    private let frameOfReferenceUID: String?
    private let imageType: [String]
    private let echoNumbers: [Int]
    private let temporalPosition: Int?
    /// In micrometres, so that the last digits a scanner writes do not part slices.
    private let pixelSpacing: [Int]

    init(_ header: InstanceHeader) {
        seriesInstanceUID = header.seriesInstanceUID
        rows = header.rows
        columns = header.columns
        hasPlane = header.plane != nil
        guard let plane = header.plane else {
            frameOfReferenceUID = nil
            imageType = []
            echoNumbers = []
            temporalPosition = nil
            pixelSpacing = []
            return
        }
        frameOfReferenceUID = header.frameOfReferenceUID
        imageType = header.imageType
        echoNumbers = header.echoNumbers
        temporalPosition = header.temporalPositionIdentifier
        pixelSpacing = [plane.rowSpacing, plane.columnSpacing].map { Int(clamped: $0 * 1000) }
    }

    /// - Parameters:
    ///   - orientation: of a member; the key holds it coarsely, so that any member gives the same.
    ///   - echoTime: of a member, ms; held coarsely as well.
    ///   - number: among stacks that differ by orientation only.
    func key(orientation: PlaneGeometry?, echoTime: Double?, number: Int) -> String {
        var fields = ["\(rows)x\(columns)"]
        if let orientation {
            let directions = orientation.rowDirection.components + orientation.columnDirection.components
            // Steps of 0.1 ms, as stacks lie further apart, with edges that no time of two or three decimals lies on.
            let echo = echoTime.map { String(Int(clamped: $0 * 10 + 0.365)) } ?? ""
            let rest =
                [frameOfReferenceUID ?? ""] + imageType + ["/"] + echoNumbers.map(String.init) + [echo]
                + [temporalPosition.map(String.init) ?? ""]
                + pixelSpacing.map(String.init)
            fields.append(directions.map { String(Int(clamped: $0 * 20)) }.joined(separator: ","))
            fields.append(Fingerprint.short(of: rest))
        }
        if number > 0 { fields.append("\(number + 1)") }
        return fields.joined(separator: "-")
    }
}

/// A short name for a list of texts: FNV-1a of 64 bits, which tells the few stacks of a series apart.
enum Fingerprint {
    static func short(of fields: [String]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in fields.joined(separator: "\u{0}").utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

extension Int {
    /// The nearest whole number, whatever a file says.
    fileprivate init(clamped value: Double) {
        self = value.isFinite ? Int(Swift.max(-1e15, Swift.min(1e15, value.rounded()))) : 0
    }
}
