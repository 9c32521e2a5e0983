// SPDX-License-Identifier: Apache-2.0

import DICOM

/// Says by which attributes a series fell apart into stacks.
enum StackSplit {
    private typealias Traits = (stack: Stack, phase: StackPhase?)

    /// The attributes that part stacks with geometry, in the order in which they are named.
    private static let attributes: [(name: String, alike: @Sendable (Stack, Stack) -> Bool)] = [
        ("Image Type", { $0.instances[0].imageType == $1.instances[0].imageType }),
        ("Pixel Spacing", { $0.instances[0].hasSpacing(of: $1.instances[0]) }),
        ("Image Orientation (Patient)", { $0.instances[0].isParallel(to: $1.instances[0]) }),
        ("Frame of Reference UID", { $0.instances[0].frameOfReferenceUID == $1.instances[0].frameOfReferenceUID }),
        ("Echo Numbers", { $0.instances[0].echoNumbers == $1.instances[0].echoNumbers }),
        ("Echo Time", { $0.instances[0].isOfEcho(of: $1.instances[0]) }),
        (
            "Temporal Position",
            { $0.instances[0].temporalPositionIdentifier == $1.instances[0].temporalPositionIdentifier }
        ),
        ("Stack ID", { $0.instances[0].stackID == $1.instances[0].stackID }),
    ]
    /// The most stacks that are compared with each other, and the most numbers that are listed.
    private static let (compared, listed) = (100, 8)

    /// The words for the stacks of one series.
    ///
    /// - Returns: such as `split in 2 by Pixel Spacing: 17 and 9`, with the frames of each stack; `nil` for one stack.
    static func text(_ stacks: [(Stack, StackPhase?)]) -> String? {
        guard stacks.count > 1 else { return nil }
        let frames = stacks.prefix(listed).map { "\($0.0.numberOfFrames)" }
        let counts =
            stacks.count > listed
            ? "\(frames.joined(separator: ", ")) and \(stacks.count - listed) more"
            : "\(frames.dropLast().joined(separator: ", ")) and \(frames[frames.count - 1])"
        let names = names(stacks.prefix(compared).map { (stack: $0.0, phase: $0.1) })
        let by = names.isEmpty ? "" : " by \(names.joined(separator: " and "))"
        return "split in \(stacks.count)\(by): \(counts)"
    }

    /// The attributes that are needed to tell every two stacks apart.
    private static func names(_ stacks: [Traits]) -> [String] {
        var pairs = stacks.indices.flatMap { a in (a + 1..<stacks.count).map { (a, $0) } }
        var names: [String] = []
        func take(_ name: String, _ alike: (Traits, Traits) -> Bool) {
            let left = pairs.filter { alike(stacks[$0.0], stacks[$0.1]) }
            if left.count < pairs.count { names.append(name) }
            pairs = left
        }
        take("Rows and Columns") {
            let (one, two) = ($0.stack.instances[0], $1.stack.instances[0])
            return one.rows == two.rows && one.columns == two.columns
        }
        take(geometryAttribute(stacks)) { $0.stack.hasGeometry == $1.stack.hasGeometry }
        for (name, alike) in attributes { take(name) { alike($0.stack, $1.stack) } }
        for name in Set(stacks.compactMap { $0.phase?.attribute }).sorted() {
            take(name) { $0.phase == $1.phase }
        }
        return names
    }
}

extension StackSplit {
    /// The attribute that keeps stacks from having geometry as the others have.
    private static func geometryAttribute(_ stacks: [Traits]) -> String {
        let problems = stacks.compactMap { $0.stack.instances[0].planeProblem }
        return ["Pixel Spacing", "Image Orientation (Patient)"].first { name in
            problems.contains { $0.contains(name) }
        } ?? "Image Position (Patient)"
    }
}

extension SeriesLabel {
    /// The label of a stack.
    ///
    /// - Parameters:
    ///   - stack: the stack.
    ///   - ordinal: its number in the series, from 0.
    ///   - stacks: all stacks of the series.
    init?(of stack: Stack, ordinal: Int, among stacks: [Stack]) {
        let number = stack.instances.lazy.compactMap(\.seriesNumber).first.flatMap { $0 >= 0 ? $0 : nil }
        let types = stack.instances[0].imageType
        let reconstruction: [String]
        if stacks.count > 1 {
            // The values of Image Type that another stack does not have.
            let own = types.filter { value in stacks.contains { !$0.instances[0].imageType.contains(value) } }
            // The first two values, such as ORIGINAL and PRIMARY, say little.
            let later = own.filter { types.dropFirst(2).contains($0) }
            reconstruction = later.isEmpty ? own : later
        } else {
            reconstruction = number == nil && stack.hasGeometry ? Array(types.dropFirst(2).prefix(1)) : []
        }
        if number == nil, stacks.count == 1, reconstruction.isEmpty { return nil }
        self.init(seriesNumber: number, ordinal: ordinal, reconstruction: reconstruction)
    }
}
