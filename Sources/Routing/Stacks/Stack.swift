// SPDX-License-Identifier: Apache-2.0

public import DICOM
import Imaging

/// The unit of a job: instances of one series that belong together, in order.
///
/// The instances have the same size, orientation, pixel spacing, frame of reference, Image Type, echo and temporal
/// position. Frames without geometry have the same size.
public struct Stack: Sendable {
    /// Names the stack among the stacks of its series: at most 64 ASCII characters without patient data.
    ///
    /// A late slice does not change it.
    public let key: String
    /// Sorted along the slice normal, or by Instance Number if there is no geometry.
    ///
    /// SOP Instance UID breaks ties.
    public let instances: [InstanceHeader]
    /// Positions along the normal, and irregularities among them.
    ///
    /// `nil` for frames without geometry, for a single slice, and for slices that cannot be ordered (see
    /// `orderProblem`).
    public let order: SliceOrder?
    /// Why the slices cannot be ordered; `nil` if they are ordered or need no order.
    public let orderProblem: GeometryError?

    /// Series Instance UID (0020,000E), which all instances share.
    public var seriesInstanceUID: String { instances[0].seriesInstanceUID }
    /// Study Instance UID (0020,000D), which all instances share.
    public var studyInstanceUID: String { instances[0].studyInstanceUID }
    /// Whether the images have a position and an orientation in space.
    public var hasGeometry: Bool { instances[0].plane != nil }

    /// Distance between the centres of neighbouring slices, mm.
    ///
    /// Image Position (Patient) takes precedence over Spacing Between Slices (0018,0088).
    public var sliceSpacing: Double? {
        if let order, order.spacing > 0 { return order.spacing }
        return instances.lazy.compactMap(\.spacingBetweenSlices).first { $0 > 0 }
    }

    /// Sorts instances into stacks; the result does not depend on their order.
    ///
    /// - Parameter headers: instances of one series or of several. Objects without an image and objects that Kontur made
    ///   are left out.
    /// - Returns: stacks ordered by series, then by the lowest Instance Number in each.
    public static func stacks(of headers: [InstanceHeader]) -> [Stack] {
        var groups: [StackTraits: [InstanceHeader]] = [:]
        for header in headers where header.kind == .image && !header.namesKontur {
            groups[StackTraits(header), default: []].append(header)
        }
        var stacks: [(first: Int, stack: Stack)] = []
        for (traits, members) in groups {
            // Equal traits do not cover echo and orientation, which are compared with a tolerance.
            for echo in clusters(members, alike: { $0.isOfEcho(of: $1) }) {
                for (number, cluster) in clusters(echo, alike: { $0.isParallel(to: $1) }).enumerated() {
                    let key = traits.key(
                        orientation: cluster[0].plane, echoTime: echo[0].credibleEchoTime, number: number)
                    let first = cluster.compactMap(\.instanceNumber).min() ?? .max
                    stacks.append((first, Stack(key: key, members: cluster)))
                }
            }
        }
        return
            stacks
            .sorted { a, b in
                let (left, right) = (a.stack, b.stack)
                return (left.seriesInstanceUID, a.first, left.key) < (right.seriesInstanceUID, b.first, right.key)
            }
            .map(\.stack)
    }

    private init(key: String, members: [InstanceHeader]) {
        self.key = key
        let planes = members.compactMap(\.plane)
        guard planes.count == members.count, members.count > 1 else {
            instances = members.sorted(by: Self.isBefore)
            order = nil
            orderProblem = nil
            return
        }
        let sorted = members.sorted(by: Self.isBefore)
        do throws(GeometryError) {
            let found = try SliceOrder(planes: sorted.compactMap(\.plane))
            instances = found.indices.map { sorted[$0] }
            var inOrder = found
            inOrder.indices = Array(sorted.indices)
            order = inOrder
            orderProblem = nil
        } catch {
            instances = sorted
            order = nil
            orderProblem = error
        }
    }

    private static func isBefore(_ a: InstanceHeader, _ b: InstanceHeader) -> Bool {
        (a.instanceNumber ?? .max, a.sopInstanceUID) < (b.instanceNumber ?? .max, b.sopInstanceUID)
    }

    /// Groups instances that are like the first instance of their group.
    ///
    /// Sorting first makes the result independent of the order of arrival.
    private static func clusters(
        _ members: [InstanceHeader], alike: (InstanceHeader, InstanceHeader) -> Bool
    ) -> [[InstanceHeader]] {
        var clusters: [[InstanceHeader]] = []
        for member in members.sorted(by: isBefore) {
            if let place = clusters.firstIndex(where: { alike($0[0], member) }) {
                clusters[place].append(member)
            } else {
                clusters.append([member])
            }
        }
        return clusters
    }
}

extension InstanceHeader {
    /// Echo Time in ms; `nil` if it is missing, not a number, or absurdly large.
    fileprivate var credibleEchoTime: Double? { echoTime.flatMap { $0.magnitude < 1e9 ? $0 : nil } }

    /// Whether two slices belong to the same echo by their Echo Time.
    ///
    /// Many scanners write Echo Number 1 for every echo, so Echo Time must tell echoes apart. Its last digits differ
    /// from slice to slice; echoes differ by more than 0.1 ms and 1%.
    fileprivate func isOfEcho(of other: InstanceHeader) -> Bool {
        guard plane != nil, other.plane != nil else { return true }
        switch (credibleEchoTime, other.credibleEchoTime) {
        case (nil, nil): return true
        case (let a?, let b?): return abs(a - b) <= max(0.1, 0.01 * max(abs(a), abs(b)))
        default: return false
        }
    }

    fileprivate func isParallel(to other: InstanceHeader) -> Bool {
        switch (plane, other.plane) {
        case (nil, nil): true
        case (let a?, let b?): a.isParallel(to: b)
        default: false
        }
    }
}

extension PlaneGeometry {
    /// Whether the directions differ by less than about 0.06 degrees: scanners round them to about six digits.
    fileprivate func isParallel(to other: PlaneGeometry) -> Bool {
        (rowDirection - other.rowDirection).length < 1e-3 && (columnDirection - other.columnDirection).length < 1e-3
    }
}

/// The attributes that instances of one stack share exactly.
///
/// Orientation and Echo Time are not among them: they are compared with a tolerance.
struct StackTraits: Hashable {
    private let seriesInstanceUID: String
    private let rows: Int
    private let columns: Int
    private let hasPlane: Bool
    private let frameOfReferenceUID: String?
    private let imageType: [String]
    private let echoNumbers: [Int]
    private let temporalPosition: Int?
    /// Between rows, between columns; in micrometres, so that rounding by the scanner does not separate slices.
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

    /// The key of the stack.
    ///
    /// - Parameters:
    ///   - orientation: the plane of any member; the key rounds it coarsely, so every member gives the same key.
    ///   - echoTime: the Echo Time of any member, ms; rounded coarsely for the same reason.
    ///   - number: the index among stacks that differ by orientation only.
    /// - Returns: at most 64 ASCII characters.
    func key(orientation: PlaneGeometry?, echoTime: Double?, number: Int) -> String {
        var fields = ["\(rows)x\(columns)"]
        if let orientation {
            let directions = orientation.rowDirection.components + orientation.columnDirection.components
            // Stacks differ by more than 0.1 ms. The offset keeps times with two or three decimals off the edges of steps.
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

/// A short name for a list of texts, made with the 64-bit FNV-1a hash.
///
/// It has to tell apart only the few stacks of one series.
enum Fingerprint {
    static func short(of fields: [String]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in fields.joined(separator: "\u{0}").utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

extension Int {
    /// The nearest whole number; 0 for a value that is not finite, as a file may hold one.
    fileprivate init(clamped value: Double) {
        self = value.isFinite ? Int(Swift.max(-1e15, Swift.min(1e15, value.rounded()))) : 0
    }
}
