// SPDX-License-Identifier: Apache-2.0

public import Foundation
public import Imaging
public import Inference

/// The masks of one frame among which a segmenter chose.
public struct CandidateMasks: Sendable, Hashable, Codable {
    /// Each of the frame's size.
    public var masks: [RunLengths]

    public init(_ masks: [RunLengths]) { self.masks = masks }

    /// - Parameter json: as it was written by `TraceFolder`.
    /// - Returns: `nil` where it is no list of masks of this size.
    public init?(json: Data, rows: Int, columns: Int) {
        guard let found = try? JSONDecoder().decode(CandidateMasks.self, from: json),
            found.masks.allSatisfy({ mask in
                mask.height == rows && mask.width == columns
                    && mask.counts.allSatisfy { (0...rows * columns).contains($0) }
                    && mask.counts.reduce(0, +) == rows * columns
            })
        else { return nil }
        self = found
    }

    /// The choice that nobody could deploy: the mask whose Dice with the truth is best, of equals the first, and nothing
    /// where nothing is. Empty without masks.
    public func best(with truth: Mask) -> Mask {
        guard !truth.isEmpty else { return Mask(rows: truth.rows, columns: truth.columns) }
        let all = masks.map { Mask(rows: truth.rows, columns: truth.columns, pixels: $0.pixels) }
        let scores = all.map { Dice.score($0, truth) }
        let best = scores.indices.max { (scores[$0], $1) < (scores[$1], $0) }
        return best.map { all[$0] } ?? Mask(rows: truth.rows, columns: truth.columns)
    }

    /// The choice that needs no rule: the mask with most pixels, of equals the first; empty without masks.
    public func largest(rows: Int, columns: Int) -> Mask {
        let largest = masks.indices.max { (masks[$0].area, $1) < (masks[$1].area, $0) }
        return largest.map { Mask(rows: rows, columns: columns, pixels: masks[$0].pixels) }
            ?? Mask(rows: rows, columns: columns)
    }
}
