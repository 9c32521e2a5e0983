// SPDX-License-Identifier: Apache-2.0

public import DICOM
import Imaging

/// The unit of a job: instances of one series that belong together, in order.
///
/// Instances of one size, orientation, pixel spacing, frame of reference, Image Type, echo and temporal position; for frames without
/// geometry, of one size.
public struct Stack: Sendable {
    /// Names the stack among those of its series, whatever its instances are: a late slice leaves it as it is. ASCII, of at most 64
    /// characters, without patient data.
    public let key: String
    /// With geometry along the slice normal, else by Instance Number; ties by SOP Instance UID.
    public let instances: [InstanceHeader]
    /// Positions along the normal and what is wrong with them; `nil` for frames without geometry, for a single slice, and where
    /// the slices cannot be ordered (`orderProblem` says why).
    public let order: SliceOrder?
    public let orderProblem: GeometryError?

    public var seriesInstanceUID: String { instances[0].seriesInstanceUID }
    public var studyInstanceUID: String { instances[0].studyInstanceUID }
    public var hasGeometry: Bool { instances[0].plane != nil }
    /// Of all instances.
    public var numberOfFrames: Int { instances.reduce(0) { $0 + max(1, $1.numberOfFrames) } }

    /// Between the centres of neighbouring slices, mm: of their positions, else as Spacing Between Slices says.
    public var sliceSpacing: Double? {
        if let order, order.spacing > 0 { return order.spacing }
        return instances.lazy.compactMap(\.spacingBetweenSlices).first { $0 > 0 }
    }

    /// Sorts instances into stacks, whatever the order they come in.
    ///
    /// - Parameter headers: of one series or of many; those that are no images, or our own, are left out.
    /// - Returns: ordered by series, then by the lowest Instance Number in each.
    public static func stacks(of headers: [InstanceHeader]) -> [Stack] {
        var groups: [StackTraits: [InstanceHeader]] = [:]
        for header in headers where header.kind == .image && !header.namesKontur {
            groups[StackTraits(header), default: []].append(header)
        }
        var stacks: [(first: Int, stack: Stack)] = []
        for (traits, members) in groups {
            // Within equal traits echo and orientation may still differ: they are compared with a tolerance, not for
            // equality.
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

    /// Groups those that are like the first of their group; the result does not depend on the order of arrival.
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
    /// In ms; `nil` also for a number that is none, or beyond all measure.
    fileprivate var credibleEchoTime: Double? { echoTime.flatMap { $0.magnitude < 1e9 ? $0 : nil } }

    /// Echo Numbers are often left at 1 for every echo. Echo Time tells them apart: scanners write it to many digits,
    /// which differ from slice to slice, while echoes lie further apart than 0.1 ms and 1 %.
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
    /// Directions that differ by less than about 0.06 degrees: scanners write them with six digits or so.
    fileprivate func isParallel(to other: PlaneGeometry) -> Bool {
        (rowDirection - other.rowDirection).length < 1e-3 && (columnDirection - other.columnDirection).length < 1e-3
    }
}
