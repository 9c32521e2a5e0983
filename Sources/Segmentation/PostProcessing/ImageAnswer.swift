// SPDX-License-Identifier: Apache-2.0
//
// The way from low-resolution logits to a mask on the image's grid differs by family:
//
// - SAM: logits enlarged to the input, the padding cut off, resized to the image; mask where above
//   0.
// - MedSAM: sigmoid, resized to the image; mask where above 0.5.
// - LiteMedSAM: the padding cut off, resized to the image, sigmoid; mask where above 0.5.
// - medsam-compact: logits resized to the image as training/recipes/resize.py does; mask where
//   above 0.

internal import Foundation
internal import Imaging
package import Inference

extension PromptAnswer {
    /// The index of the mask with the highest predicted IoU; the first of equals.
    var best: Int { predictedIoU.indices.max { (predictedIoU[$0], $1) < (predictedIoU[$1], $0) } ?? 0 }
}

extension Prompt {
    /// Whether it is a lone point, which is ambiguous: the network makes three masks, and its own estimate chooses one.
    var isAmbiguous: Bool { box == nil && points.count == 1 }
}

/// One mask of one prompt on the image's grid.
package struct ImageAnswer: Sendable {
    /// Foreground probability, `[rows, columns]`.
    package var probabilities: [Float]
    /// 0 or 1, `[rows, columns]`.
    package var mask: [UInt8]

    /// An empty mask.
    package init(rows: Int, columns: Int) {
        probabilities = [Float](repeating: 0, count: rows * columns)
        mask = [UInt8](repeating: 0, count: rows * columns)
    }

    /// Converts one mask of a network's answer.
    ///
    /// - Parameters:
    ///   - answer: the answer of the network.
    ///   - index: the index of the mask in `answer`.
    ///   - grid: the mapping from the image to the network's input.
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
        case .medsamCompact, .medsam2Compact:
            let plane = Array(answer.logits.values[index * size * size..<(index + 1) * size * size])
            let logits = Resampling.resize(plane, from: [size, size], to: target)
            mask = logits.map { $0 > 0 ? 1 : 0 }
            probabilities = logits.map(Self.sigmoid)
        case .sam2, .medsam2:
            let plane = Array(answer.logits.values[index * size * size..<(index + 1) * size * size])
            let logits = BilinearResize.resize(plane, from: [size, size], to: target)
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

    /// Unites the answer with that of another prompt: the greater probability, and the union of the
    /// masks.
    package mutating func unite(_ other: ImageAnswer) {
        for index in mask.indices {
            mask[index] |= other.mask[index]
            probabilities[index] = max(probabilities[index], other.probabilities[index])
        }
    }

    /// Clears connected objects of fewer than `least` pixels, and their probabilities.
    ///
    /// - Parameters:
    ///   - least: the smallest number of pixels that is kept.
    ///   - slices: slices of the mask.
    ///   - rows: rows of the mask.
    ///   - columns: columns of the mask.
    /// - Returns: the number of objects cleared.
    package mutating func dropObjects(below least: Int, slices: Int, rows: Int, columns: Int) -> Int {
        guard least > 1 else { return 0 }
        let before = mask
        let dropped = ConnectedComponents.removeSmall(
            &mask, slices: slices, rows: rows, columns: columns, below: least)
        if dropped > 0 { for index in mask.indices where before[index] > mask[index] { probabilities[index] = 0 } }
        return dropped
    }

    /// The logistic function, which turns a logit into a probability.
    package static func sigmoid(_ value: Float) -> Float { 1 / (1 + exp(-value)) }
}

/// PyTorch's `interpolate(mode="bilinear", align_corners=False)` without antialiasing, in fp32.
package enum BilinearResize {
    /// Resizes a plane, along its rows first.
    ///
    /// - Parameters:
    ///   - values: `[from[0], from[1]]`.
    ///   - from: rows and columns of `values`.
    ///   - target: rows and columns of the result.
    /// - Returns: `[target[0], target[1]]`.
    package static func resize(_ values: [Float], from: [Int], to target: [Int]) -> [Float] {
        let wide = axis(values, outer: from[0], count: from[1], inner: 1, to: target[1])
        return axis(wide, outer: 1, count: from[0], inner: target[1], to: target[0])
    }

    private static func axis(_ values: [Float], outer: Int, count: Int, inner: Int, to target: Int) -> [Float] {
        guard count != target else { return values }
        let scale = Float(count) / Float(target)
        return [Float](unsafeUninitializedCapacity: outer * target * inner) { output, filled in
            values.withUnsafeBufferPointer { values in
                for line in 0..<outer {
                    for i in 0..<target {
                        let place = max(0, scale * (Float(i) + 0.5) - 0.5)
                        let first = min(Int(place), count - 1)
                        let share = min(max(place - Float(first), 0), 1)
                        let before = (line * count + first) * inner
                        let after = (line * count + min(first + 1, count - 1)) * inner
                        let start = (line * target + i) * inner
                        for index in 0..<inner {
                            output[start + index] =
                                (1 - share) * values[before + index] + share * values[after + index]
                        }
                    }
                }
            }
            filled = output.count
        }
    }
}
