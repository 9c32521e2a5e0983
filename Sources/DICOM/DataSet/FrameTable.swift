// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// The attributes of one frame that its functional groups give, and by which frames are sorted into stacks.
///
/// An attribute that is absent or empty is `nil`, or an empty list.
public struct FrameAttributes: Sendable, Hashable {
    /// The plane of the frame in the patient; `nil` if its macros are absent or unusable.
    public var plane: PlaneGeometry?
    /// Slice Thickness, mm, positive.
    public var sliceThickness: Double?
    /// Spacing Between Slices, mm, positive.
    public var spacingBetweenSlices: Double?
    /// The values of Frame Type, and the value of Complex Image Component unless it is MIXED.
    public var imageType: [String] = []
    /// Stack ID of Frame Content.
    public var stackID: String?
    /// Effective Echo Time, ms.
    public var echoTime: Double?
    /// Temporal Position Index of Frame Content.
    public var temporalPosition: Int?
    /// Nominal or actual Cardiac Trigger Delay Time, ms.
    public var triggerTime: Double?
    /// Nominal Percentage of Cardiac Phase.
    public var cardiacPhasePercentage: Double?
    /// The first value of Inversion Times, ms.
    public var inversionTime: Double?
    /// Frame Acquisition Number.
    public var acquisitionNumber: Int?

    /// Makes the attributes of a frame that has none.
    public init() {}
}

/// The frames of one instance, in their order, with the attributes of their functional groups (PS3.3 C.7.6.16).
///
/// The table is stored with the header. The encoded form lists each distinct value of an attribute once, because most
/// frames share most values.
public struct FrameTable: Sendable, Hashable {
    /// The largest number of frames that a header describes.
    ///
    /// The table of such an instance still fits into one message of a worker.
    public static let limit = 8192

    /// One entry per frame.
    public var frames: [FrameAttributes]

    /// Takes the frames of an instance.
    public init(_ frames: [FrameAttributes]) { self.frames = frames }
}

extension FrameTable: Codable {
    /// The values of one attribute: each distinct value once, and the index of each frame's value.
    private struct Column<Value: Codable & Hashable>: Codable {
        var values: [Value]
        /// `nil` if all frames have the first value.
        var indices: [Int]?

        init(_ all: [Value]) {
            var places: [Value: Int] = [:]
            values = []
            var indices: [Int] = []
            for value in all {
                if places[value] == nil {
                    places[value] = values.count
                    values.append(value)
                }
                indices.append(places[value] ?? 0)
            }
            self.indices = values.count > 1 ? indices : nil
        }

        func value(_ frame: Int, of count: Int) -> Value? {
            let index = indices.map { $0.indices.contains(frame) ? $0[frame] : -1 } ?? 0
            return values.indices.contains(index) ? values[index] : nil
        }
    }

    private enum CodingKeys: String, CodingKey {
        case count, x, y, z, orientation, pixelSpacing, sliceThickness, spacingBetweenSlices, imageType, stackID,
            echoTime
        case temporalPosition, triggerTime, cardiacPhasePercentage, inversionTime, acquisitionNumber
    }

    /// Encodes the columns of attributes that at least one frame has.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(frames.count, forKey: .count)
        func column<Value: Codable & Hashable>(
            _ key: CodingKeys, absent: Value, _ value: (FrameAttributes) -> Value
        ) throws {
            let all = frames.map(value)
            if all.contains(where: { $0 != absent }) { try container.encode(Column(all), forKey: key) }
        }
        try column(.x, absent: nil) { $0.plane?.position.x }
        try column(.y, absent: nil) { $0.plane?.position.y }
        try column(.z, absent: nil) { $0.plane?.position.z }
        try column(.orientation, absent: []) { frame in
            frame.plane.map { $0.rowDirection.components + $0.columnDirection.components } ?? []
        }
        try column(.pixelSpacing, absent: []) { frame in frame.plane.map { [$0.rowSpacing, $0.columnSpacing] } ?? [] }
        try column(.sliceThickness, absent: nil, \.sliceThickness)
        try column(.spacingBetweenSlices, absent: nil, \.spacingBetweenSlices)
        try column(.imageType, absent: [], \.imageType)
        try column(.stackID, absent: nil, \.stackID)
        try column(.echoTime, absent: nil, \.echoTime)
        try column(.temporalPosition, absent: nil, \.temporalPosition)
        try column(.triggerTime, absent: nil, \.triggerTime)
        try column(.cardiacPhasePercentage, absent: nil, \.cardiacPhasePercentage)
        try column(.inversionTime, absent: nil, \.inversionTime)
        try column(.acquisitionNumber, absent: nil, \.acquisitionNumber)
    }

    /// Decodes the columns.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let count = try container.decode(Int.self, forKey: .count)
        guard (0...Self.limit).contains(count) else {
            throw DecodingError.dataCorruptedError(forKey: .count, in: container, debugDescription: "not a count")
        }
        func column<Value: Codable & Hashable>(_ key: CodingKeys, absent: Value) throws -> [Value] {
            guard let column = try container.decodeIfPresent(Column<Value>.self, forKey: key) else {
                return Array(repeating: absent, count: count)
            }
            return (0..<count).map { column.value($0, of: count) ?? absent }
        }
        frames = Array(repeating: FrameAttributes(), count: count)
        func set<Value: Codable & Hashable>(
            _ path: WritableKeyPath<FrameAttributes, Value>, _ key: CodingKeys, absent: Value
        ) throws {
            for (index, value) in try column(key, absent: absent).enumerated() { frames[index][keyPath: path] = value }
        }
        let (x, y, z): ([Double?], [Double?], [Double?]) = (
            try column(.x, absent: nil), try column(.y, absent: nil), try column(.z, absent: nil)
        )
        let orientation: [[Double]] = try column(.orientation, absent: [])
        let pixelSpacing: [[Double]] = try column(.pixelSpacing, absent: [])
        for index in 0..<count {
            guard let x = x[index], let y = y[index], let z = z[index], pixelSpacing[index].count == 2,
                orientation[index].count == 6, let row = Vector3(orientation[index][..<3]),
                let down = Vector3(orientation[index][3...])
            else { continue }
            frames[index].plane = PlaneGeometry(
                position: Vector3(x, y, z), rowDirection: row, columnDirection: down,
                rowSpacing: pixelSpacing[index][0], columnSpacing: pixelSpacing[index][1])
        }
        try set(\.sliceThickness, .sliceThickness, absent: nil)
        try set(\.spacingBetweenSlices, .spacingBetweenSlices, absent: nil)
        try set(\.imageType, .imageType, absent: [])
        try set(\.stackID, .stackID, absent: nil)
        try set(\.echoTime, .echoTime, absent: nil)
        try set(\.temporalPosition, .temporalPosition, absent: nil)
        try set(\.triggerTime, .triggerTime, absent: nil)
        try set(\.cardiacPhasePercentage, .cardiacPhasePercentage, absent: nil)
        try set(\.inversionTime, .inversionTime, absent: nil)
        try set(\.acquisitionNumber, .acquisitionNumber, absent: nil)
    }
}
