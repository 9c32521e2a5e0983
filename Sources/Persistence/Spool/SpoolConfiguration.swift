// SPDX-License-Identifier: Apache-2.0

/// The place and the limits of the spool: `spool:` in the configuration.
public struct SpoolConfiguration: Sendable, Equatable, Codable {
    /// Time for which files stay after the node does not need them any more.
    public struct Keep: Sendable, Equatable, Codable {
        /// Applies to instances if all their stacks are done, and to delivered SEG files.
        public var done: Duration
        /// Applies to instances that no route took, that have no image, or that Kontur made itself.
        public var unmatched: Duration
        /// Applies to instances that could not be read, and to the sources of dead jobs.
        public var quarantined: Duration

        /// Makes a table of times; the defaults are 7 days, 1 hour and 30 days.
        public init(
            done: Duration = .seconds(7 * 86_400), unmatched: Duration = .seconds(3_600),
            quarantined: Duration = .seconds(30 * 86_400)
        ) {
            self.done = done
            self.unmatched = unmatched
            self.quarantined = quarantined
        }
    }

    /// The spool's folder, which is made if it does not exist.
    public var path: String
    /// Bytes that stay free on the file system.
    public var minimumFree: Int64
    /// Size of the largest instance that is accepted, in bytes of the file.
    public var maxInstance: Int64
    /// Time for which files stay after the node does not need them any more.
    public var keep: Keep

    /// Makes a configuration; the defaults keep 2 GiB free and accept instances of up to 1 GiB.
    public init(
        path: String = "./kontur-data", minimumFree: Int64 = 2 << 30, maxInstance: Int64 = 1 << 30, keep: Keep = Keep()
    ) {
        self.path = path
        self.minimumFree = minimumFree
        self.maxInstance = maxInstance
        self.keep = keep
    }
}
