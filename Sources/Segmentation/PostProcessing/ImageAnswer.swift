// SPDX-License-Identifier: Apache-2.0
//
// From low-resolution logits to a mask on the image's grid, as each family does it:
//
// - SAM: logits enlarged to the input, without the padding, resized to the image; mask where above 0.
// - MedSAM: sigmoid, resized to the image; mask where above 0.5.
// - LiteMedSAM: without the padding, resized to the image, sigmoid; mask where above 0.5.
// - medsam-compact: logits resized to the image as training/recipes/resize.py does; mask where above 0.

package import Inference

/// One mask of one prompt on the image's grid.
package struct ImageAnswer: Sendable {
    /// Foreground probability, `[rows, columns]`.
    package var probabilities: [Float]
    /// 0 or 1, `[rows, columns]`.
    package var mask: [UInt8]

    /// Nothing found.
    package init(rows: Int, columns: Int) {
        probabilities = [Float](repeating: 0, count: rows * columns)
        mask = [UInt8](repeating: 0, count: rows * columns)
    }

    /// - Parameters:
    ///   - answer: of the network.
    ///   - index: of the mask in it.
    package init(_ answer: PromptAnswer, mask index: Int, on grid: InputGrid) {
        let size = answer.logits.shape[1]
        let target = [grid.rows, grid.columns]
        switch grid.family {
        case .sam:
            let transform = SamTransform(height: grid.rows, width: grid.columns, inputSize: grid.size)
            let logits = transform.imageLogits(answer, mask: index)
            mask = logits.map { $0 > 0 ? 1 : 0 }
            probabilities = logits.map(Self.sigmoid)
        case .medsam:
            let plane = answer.logits.values[index * size * size..<(index + 1) * size * size]
            probabilities = BilinearResize.resize(plane.map(Self.sigmoid), from: [size, size], to: target)
            mask = probabilities.map { $0 > 0.5 ? 1 : 0 }
        case .medsamCompact:
            let plane = Array(answer.logits.values[index * size * size..<(index + 1) * size * size])
            let logits = Resampling.resize(plane, from: [size, size], to: target)
            mask = logits.map { $0 > 0 ? 1 : 0 }
            probabilities = logits.map(Self.sigmoid)
        case .liteMedSAM:
            let (rows, columns) = grid.inside(lowResolution: size)
            let plane = answer.logits.values[index * size * size..<(index + 1) * size * size]
            var inside = [Float]()
            inside.reserveCapacity(rows * columns)
            for row in 0..<rows { inside += plane.dropFirst(row * size).prefix(columns) }
            let logits = BilinearResize.resize(inside, from: [rows, columns], to: target)
            probabilities = logits.map(Self.sigmoid)
            mask = probabilities.map { $0 > 0.5 ? 1 : 0 }
        }
    }

    /// Adds what another prompt has found: the greater probability, and either mask.
    package mutating func unite(_ other: ImageAnswer) {
        for index in mask.indices {
            mask[index] |= other.mask[index]
            probabilities[index] = max(probabilities[index], other.probabilities[index])
        }
    }
}
