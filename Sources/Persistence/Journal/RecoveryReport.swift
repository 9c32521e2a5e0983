// SPDX-License-Identifier: Apache-2.0

/// The findings of a start that put a spool in order.
public struct RecoveryReport: Sendable, Equatable {
    /// Instances that had lost their rows and have rows again.
    public var adopted = 0
    /// Objects of Kontur that had lost their rows and have rows again.
    public var adoptedObjects = 0
    /// Files without a row that are not whole instances, or that repeat a stored one; they lie in `quarantine/` now.
    public var quarantined = 0
    /// Instances that were being received when the node ended, and that were never acknowledged.
    public var neverAcknowledged = 0
    /// Acknowledged instances whose files somebody removed or changed.
    public var lost = 0
    /// Files and folders that could not be read, although they may be whole; each next start tries again.
    public var unreadable = 0
    /// The first error among them.
    public var readError: String?
    /// Files and folders in the spool that Kontur did not make; they stay as they are.
    public var strays = 0
    /// Symbolic links in the place of folders, relative to the spool; nothing behind them is used.
    public var links: [String] = []
    /// The reason if the database was lost or is older than the files beside it.
    public var databaseBehind: String?
}
