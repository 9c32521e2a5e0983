// SPDX-License-Identifier: Apache-2.0

public import DICOM
import Imaging
import Platform

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
            var uses: [String: Int] = [:]
            // Equal traits do not cover echo and orientation, which are compared with a tolerance.
            for echo in clusters(members, alike: { $0.isOfEcho(of: $1) }) {
                for cluster in clusters(echo, alike: { $0.isParallel(to: $1) }) {
                    let text = traits.key(orientation: cluster[0].plane, echoTime: echo[0].credibleEchoTime)
                    // Orientations that differ by less than the key's rounding get a number.
                    let use = uses[text, default: 0] + 1
                    uses[text] = use
                    let first = cluster.compactMap(\.instanceNumber).min() ?? .max
                    stacks.append((first, Stack(key: use == 1 ? text : "\(text)-\(use)", members: cluster)))
                }
            }
        }
        return
            stacks
            .sorted { a, b in
                let (left, right) = (a.stack, b.stack)
                return (left.seriesInstanceUID, left.studyInstanceUID, a.first, left.key)
                    < (right.seriesInstanceUID, right.studyInstanceUID, b.first, right.key)
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
    // One Series Instance UID in two studies is two series.
    private let studyInstanceUID: String
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
        studyInstanceUID = header.studyInstanceUID
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

    /// The key of the stack: its size, and a hash of everything else.
    ///
    /// Stacks of different traits have different keys, whatever texts a file holds: see ``Fingerprint``.
    ///
    /// - Parameters:
    ///   - orientation: the plane of any member; the key rounds it coarsely, so every member gives the same key.
    ///   - echoTime: the Echo Time of any member, ms; rounded coarsely for the same reason.
    /// - Returns: ASCII characters without patient data.
    func key(orientation: PlaneGeometry?, echoTime: Double?) -> String {
        let size = "\(rows)x\(columns)"
        guard let orientation else { return size }
        let directions = orientation.rowDirection.components + orientation.columnDirection.components
        // Stacks differ by more than 0.1 ms. The offset keeps times with two or three decimals off the edges of steps.
        let echo = echoTime.map { Int(clamped: $0 * 10 + 0.365) }
        let fields: [[String]] = [
            frameOfReferenceUID.map { [$0] } ?? [], imageType, echoNumbers.map(String.init),
            echo.map { [String($0)] } ?? [], temporalPosition.map { [String($0)] } ?? [],
            pixelSpacing.map(String.init), directions.map { String(Int(clamped: $0 * 20)) },
        ]
        return "\(size)-\(Fingerprint.of(fields))"
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

extension Int {
    /// The nearest whole number; 0 for a value that is not finite, as a file may hold one.
    fileprivate init(clamped value: Double) {
        self = value.isFinite ? Int(Swift.max(-1e15, Swift.min(1e15, value.rounded()))) : 0
    }
}
