// SPDX-License-Identifier: Apache-2.0

public import DICOM
import Imaging

/// The unit of a job: frames of one series that belong together, in order.
///
/// A frame is a single-frame instance, or one frame of an instance whose functional groups give each frame a plane. The
/// frames have the same size, orientation, pixel spacing, frame of reference, Image Type, echo, temporal position and
/// cardiac phase. Frames without geometry have the same size, and an instance then gives all of its frames.
public struct Stack: Sendable {
    /// Names the stack among the stacks of its series: at most 64 ASCII characters without patient data.
    ///
    /// A late slice does not change it.
    public let key: String
    /// The instances, each once, sorted along the slice normal by their first frame, or by Instance Number if there is
    /// no geometry.
    ///
    /// SOP Instance UID breaks ties. An instance with functional groups has the attributes of its first frame in the
    /// stack.
    public let instances: [InstanceHeader]
    /// For each instance the frames of the stack, counted from 1, ascending; `nil` for all frames of the instance.
    public let frameNumbers: [[Int]?]
    /// Positions along the normal, and irregularities among them.
    ///
    /// Its indices count the frames of all instances. `nil` for frames without geometry, for a single slice, and for
    /// slices that cannot be ordered (see `orderProblem`).
    public let order: SliceOrder?
    /// Why the slices cannot be ordered; `nil` if they are ordered or need no order.
    public let orderProblem: GeometryError?
    /// The number of frames of reference that the slices name; more than 1 only if most slices name one of their own.
    public let framesOfReference: Int
    /// Whether an instance has several frames without planes of their own.
    let hasFramesWithoutPlanes: Bool
    /// How the series fell apart, such as `split in 2 by Pixel Spacing: 17 and 9`; `nil` if this is its only stack.
    public internal(set) var split: String?
    /// The series and the stack in it, by which the objects of two stacks are told apart; `nil` for the only stack of a
    /// series without a number.
    public internal(set) var label: SeriesLabel?

    /// Series Instance UID (0020,000E), which all instances share.
    public var seriesInstanceUID: String { instances[0].seriesInstanceUID }
    /// Study Instance UID (0020,000D), which all instances share.
    public var studyInstanceUID: String { instances[0].studyInstanceUID }
    /// Whether the images have a position and an orientation in space.
    public var hasGeometry: Bool { instances[0].plane != nil }

    /// The number of frames: the slices of a volume.
    public var numberOfFrames: Int {
        zip(instances, frameNumbers).reduce(0) { $0 + ($1.1?.count ?? $1.0.numberOfFrames) }
    }

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
        let images = headers.filter { $0.kind == .image && !$0.namesKontur }
        // One Series Instance UID in two studies is two series.
        let series = Dictionary(grouping: images) { [$0.seriesInstanceUID, $0.studyInstanceUID] }
        return series.sorted { $0.key.lexicographicallyPrecedes($1.key) }.flatMap { _, members in
            StackSorting.stacks(ofSeries: members)
        }
    }

    /// Makes a stack of the frames of a group.
    ///
    /// - Parameters:
    ///   - key: its name in the series.
    ///   - members: its frames, in any order.
    ///   - framesOfReference: the number of frames of reference that they name.
    init(key: String, members: [StackMember], framesOfReference: Int) {
        self.key = key
        self.framesOfReference = framesOfReference
        hasFramesWithoutPlanes = members.contains { $0.frameNumber == nil && $0.header.numberOfFrames > 1 }
        var sorted = members.sorted(by: StackMember.isBefore)
        let planes = sorted.compactMap(\.header.plane)
        if planes.count == members.count, members.count > 1, let order = try? SliceOrder(planes: planes) {
            sorted = order.indices.map { sorted[$0] }
        }
        // Frames of one instance stay together, in the order of their numbers: the worker orders slices by position.
        var places: [String: Int] = [:]
        var groups: [[StackMember]] = []
        for member in sorted {
            if let place = places[member.header.sopInstanceUID] {
                groups[place].append(member)
            } else {
                places[member.header.sopInstanceUID] = groups.count
                groups.append([member])
            }
        }
        instances = groups.map { $0[0].header }
        frameNumbers = groups.map { group in
            let numbers = group.compactMap(\.frameNumber).sorted()
            return numbers.isEmpty || numbers.count == group[0].header.numberOfFrames ? nil : numbers
        }
        let frames = groups.flatMap { $0.sorted { ($0.frameNumber ?? 0) < ($1.frameNumber ?? 0) } }
        guard planes.count == members.count, members.count > 1 else {
            (order, orderProblem) = (nil, nil)
            return
        }
        do throws(GeometryError) {
            order = try SliceOrder(planes: frames.compactMap(\.header.plane))
            orderProblem = nil
        } catch {
            order = nil
            orderProblem = error
        }
    }
}

/// A frame to be sorted into a stack, or an instance without functional groups.
struct StackMember {
    /// The header of the instance, with the attributes of the frame.
    let header: InstanceHeader
    /// The number of the frame, counted from 1; `nil` for all frames of an instance without functional groups.
    let frameNumber: Int?

    /// The frames of an instance that have planes of their own, or else the whole instance.
    static func members(of header: InstanceHeader) -> [StackMember] {
        guard let frames = header.frames else { return [StackMember(header: header, frameNumber: nil)] }
        return (1...frames.frames.count).map { StackMember(header: header.header(ofFrame: $0), frameNumber: $0) }
    }

    static func isBefore(_ a: StackMember, _ b: StackMember) -> Bool {
        (a.header.instanceNumber ?? .max, a.header.sopInstanceUID, a.frameNumber ?? 0)
            < (b.header.instanceNumber ?? .max, b.header.sopInstanceUID, b.frameNumber ?? 0)
    }
}
