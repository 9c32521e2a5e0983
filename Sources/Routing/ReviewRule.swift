// SPDX-License-Identifier: Apache-2.0

/// What a route does about answers that the segmenter itself does not trust.
public struct ReviewRule: Sendable, Hashable, Codable {
    public enum Action: String, Sendable, Hashable, Codable, CaseIterable {
        /// It is sent like any other; trail and status say that it needs review.
        case send
        /// It is sent, and the object itself says that it needs review.
        case mark
        /// It says so too, and stays here until an operator releases or drops it.
        case hold
    }

    /// Confidences below this one are low, 0...1.
    public var below: Double
    public var action: Action

    public init(below: Double, action: Action) {
        self.below = below
        self.action = action
    }

    /// What the object says when the confidence is low: nothing where the route sends it like any other.
    public var markedBelow: Double? { action == .send ? nil : below }
}
