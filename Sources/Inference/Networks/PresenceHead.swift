// SPDX-License-Identifier: Apache-2.0
//
// The presence head of training/networks/presence_head.py, with the same tensor names: a logistic regression on three
// statistics of what a residual U-Net's head says, which tells whether there is anything to find in the image at all.

internal import Foundation

/// `training/networks/presence_head.py`'s `Presence`.
public struct PresenceHead: Sendable {
    /// Keeps the logarithm of the mean probability finite.
    static let floor = 1e-4

    private let weight: [Double]
    private let bias: Double

    /// - Throws: `WeightFileError` when the file has no presence head.
    public init(_ weights: SafeTensors) throws {
        weight = try weights.tensor("presence.weight", shape: [3]).values.map(Double.init)
        bias = Double(try weights.tensor("presence.bias", shape: [1]).values[0])
    }

    /// The logit of every image of a batch.
    ///
    /// - Parameter head: the output of the network's stage `head`, `[batch, height, width, 1]`.
    public func callAsFunction(_ head: Tensor) -> [Double] {
        precondition(head.channels == 1, "a head has one channel")
        let size = head.count / head.batch
        return (0..<head.batch).map { image in
            zip(weight, Self.statistics(head.values[image * size..<(image + 1) * size])).reduce(bias) {
                $0 + $1.0 * $1.1
            }
        }
    }

    /// log(mean p + floor), the largest logit, and sum p^2 / sum p.
    private static func statistics(_ logits: ArraySlice<Float>) -> [Double] {
        var (total, squares, largest) = (0.0, 0.0, -Double.infinity)
        for logit in logits {
            let probability = 1 / (1 + exp(-Double(logit)))
            total += probability
            squares += probability * probability
            largest = max(largest, Double(logit))
        }
        total = max(total, .leastNormalMagnitude)
        return [log(total / Double(logits.count) + floor), largest, squares / total]
    }
}
