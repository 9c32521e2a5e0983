// SPDX-License-Identifier: Apache-2.0

/// When a series counts as complete.
public struct SeriesConfiguration: Sendable, Hashable {
    /// The waiting times of one modality.
    public struct Waiting: Sendable, Hashable {
        /// Seconds without a new instance after which a series closes.
        public var quietSeconds: Int
        /// Seconds after its first instance from which an open association no longer keeps a quiet series open.
        public var waitAtMostSeconds: Int

        public init(quietSeconds: Int = 10, waitAtMostSeconds: Int = 900) {
            self.quietSeconds = quietSeconds
            self.waitAtMostSeconds = waitAtMostSeconds
        }
    }

    public var waiting: Waiting
    /// Overrides by Modality (0008,0060), such as `ES`.
    public var perModality: [String: Waiting]

    public init(waiting: Waiting = Waiting(), perModality: [String: Waiting] = [:]) {
        self.waiting = waiting
        self.perModality = perModality
    }

    /// The waiting times of a series; those of `waiting` while its modality is not known.
    public func waiting(modality: String?) -> Waiting { modality.flatMap { perModality[$0] } ?? waiting }
}
