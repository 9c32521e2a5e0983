// SPDX-License-Identifier: Apache-2.0

/// A binary plane, `[rows, columns]`, row-major, one byte a pixel: 0 or 1.
public struct Mask: Sendable, Hashable {
    public let rows: Int
    public let columns: Int
    public let pixels: [UInt8]

    public init(rows: Int, columns: Int, pixels: [UInt8]) {
        precondition(pixels.count == rows * columns, "pixels are [rows, columns]")
        self.rows = rows
        self.columns = columns
        self.pixels = pixels
    }

    /// A mask with nothing in it.
    public init(rows: Int, columns: Int) {
        self.init(rows: rows, columns: columns, pixels: [UInt8](repeating: 0, count: rows * columns))
    }

    /// Number of pixels set.
    public var area: Int { pixels.reduce(0) { $0 + Int($1) } }
    public var isEmpty: Bool { !pixels.contains { $0 != 0 } }
}

extension Mask {
    /// Pixels whose probability is at least `threshold`.
    ///
    /// - Parameter probabilities: `[rows, columns]`.
    public init(rows: Int, columns: Int, probabilities: [Float], threshold: Float = 0.5) {
        let pixels = [UInt8](unsafeUninitializedCapacity: probabilities.count) { pixels, filled in
            for index in probabilities.indices {
                pixels.initializeElement(at: index, to: probabilities[index] >= threshold ? 1 : 0)
            }
            filled = probabilities.count
        }
        self.init(rows: rows, columns: columns, pixels: pixels)
    }
}
