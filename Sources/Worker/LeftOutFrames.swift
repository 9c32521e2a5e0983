// SPDX-License-Identifier: Apache-2.0

/// The frames of a stack that cannot be decoded or segmented, with the reasons.
///
/// The other frames of the stack are segmented without them.
struct LeftOutFrames {
    /// Frames of one source that share a reason.
    private struct Group {
        /// Index of the source.
        let source: Int
        /// SOP Instance UID of the source.
        let sopInstanceUID: String
        /// Counted from 1.
        let numbers: [Int]
        let reason: String
    }

    /// Most reasons that are named; the frames with other reasons are counted.
    private static let mostReasons = 5
    /// Most places that are named for a reason; the others are counted.
    private static let mostPlaces = 3

    private var groups: [Group] = []

    /// The number of frames.
    var count: Int { groups.reduce(0) { $0 + $1.numbers.count } }

    /// Adds frames of one source.
    ///
    /// - Parameters:
    ///   - numbers: the frames, counted from 1.
    ///   - source: the index of the source.
    ///   - sopInstanceUID: SOP Instance UID of the source.
    ///   - reason: the reason in words, without patient data.
    mutating func add(_ numbers: [Int], of source: Int, _ sopInstanceUID: String, because reason: String) {
        groups.append(Group(source: source, sopInstanceUID: sopInstanceUID, numbers: numbers, reason: reason))
    }

    /// The numbers of the frames of one source.
    func numbers(of source: Int) -> Set<Int> {
        Set(groups.lazy.filter { $0.source == source }.flatMap(\.numbers))
    }

    /// One note per reason, with the number of the frames and their places.
    var notes: [String] {
        var reasons: [String] = []
        for group in groups where !reasons.contains(group.reason) { reasons.append(group.reason) }
        var notes = reasons.prefix(Self.mostReasons).map { reason in
            let members = groups.filter { $0.reason == reason }
            let frames = members.reduce(0) { $0 + $1.numbers.count }
            let places = members.prefix(Self.mostPlaces).map { member in
                member.numbers.count == 1
                    ? "frame \(member.numbers[0]) of instance \(member.sopInstanceUID)"
                    : "\(member.numbers.count) frames of instance \(member.sopInstanceUID)"
            }
            let more = members.count - places.count
            return "left out \(frames) \(frames == 1 ? "frame" : "frames"): \(reason)"
                + " (\((places + (more > 0 ? ["\(more) more"] : [])).joined(separator: ", ")))"
        }
        let others = groups.filter { !reasons.prefix(Self.mostReasons).contains($0.reason) }
        if !others.isEmpty {
            let frames = others.reduce(0) { $0 + $1.numbers.count }
            notes.append("left out \(frames) more \(frames == 1 ? "frame" : "frames") for other reasons")
        }
        return notes
    }
}
