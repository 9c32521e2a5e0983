// SPDX-License-Identifier: Apache-2.0

/// Where the spool is and how much it may hold: `spool:` in the configuration.
public struct SpoolConfiguration: Sendable, Equatable, Codable {
    /// How long files stay after nothing needs them any more.
    public struct Keep: Sendable, Equatable, Codable {
        /// Instances whose stacks are all done, and the SEG files that were delivered.
        public var done: Duration
        /// Instances that no route took, that have no image, or that are our own.
        public var unmatched: Duration
        /// Instances that could not be read, and the sources of dead jobs.
        public var quarantined: Duration

        public init(
            done: Duration = .seconds(7 * 86_400), unmatched: Duration = .seconds(3_600),
            quarantined: Duration = .seconds(30 * 86_400)
        ) {
            self.done = done
            self.unmatched = unmatched
            self.quarantined = quarantined
        }
    }

    /// The spool's folder; made when it is missing.
    public var path: String
    /// Bytes that stay free on the file system.
    public var minimumFree: Int64
    /// The largest instance accepted, in bytes of the file.
    public var maxInstance: Int64
    public var keep: Keep

    public init(
        path: String = "./kontur-data", minimumFree: Int64 = 2 << 30, maxInstance: Int64 = 1 << 30, keep: Keep = Keep()
    ) {
        self.path = path
        self.minimumFree = minimumFree
        self.maxInstance = maxInstance
        self.keep = keep
    }
}
