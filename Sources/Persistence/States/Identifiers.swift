// SPDX-License-Identifier: Apache-2.0

/// The row of a received instance. Grows in the order of receipt.
public struct InstanceID: RawRepresentable, Hashable, Comparable, Codable, Sendable {
    public let rawValue: Int64
    public init(rawValue: Int64) { self.rawValue = rawValue }
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The row of a series, the same in all its revisions.
public struct SeriesID: RawRepresentable, Hashable, Comparable, Codable, Sendable {
    public let rawValue: Int64
    public init(rawValue: Int64) { self.rawValue = rawValue }
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The row of a stack of one revision of a series.
public struct StackID: RawRepresentable, Hashable, Comparable, Codable, Sendable {
    public let rawValue: Int64
    public init(rawValue: Int64) { self.rawValue = rawValue }
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The row of a job.
public struct JobID: RawRepresentable, Hashable, Comparable, Codable, Sendable {
    public let rawValue: Int64
    public init(rawValue: Int64) { self.rawValue = rawValue }
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The row of a delivery: one derived object to one peer.
public struct DeliveryID: RawRepresentable, Hashable, Comparable, Codable, Sendable {
    public let rawValue: Int64
    public init(rawValue: Int64) { self.rawValue = rawValue }
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
