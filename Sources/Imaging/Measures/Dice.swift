// SPDX-License-Identifier: Apache-2.0

/// Overlap of two binary answers.
public enum Dice {
    /// 2 |A and B| / (|A| + |B|); two empty masks score 1.
    ///
    /// - Parameters:
    ///   - a: 0 or 1, as many values as `b`.
    ///   - b: 0 or 1.
    public static func score(_ a: [UInt8], _ b: [UInt8]) -> Double {
        precondition(a.count == b.count, "both masks have the same size")
        var (both, total) = (0, 0)
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                for index in a.indices {
                    both += Int(a[index] & b[index])
                    total += Int(a[index]) + Int(b[index])
                }
            }
        }
        return total == 0 ? 1 : 2 * Double(both) / Double(total)
    }

    public static func score(_ a: Mask, _ b: Mask) -> Double { score(a.pixels, b.pixels) }

    /// Of two stacks of masks taken as one volume.
    public static func score(_ a: [Mask], _ b: [Mask]) -> Double {
        score(a.flatMap(\.pixels), b.flatMap(\.pixels))
    }
}
