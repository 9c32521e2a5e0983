// SPDX-License-Identifier: Apache-2.0
//
// The states, drawn once. Each arrow is one method of `WriteTransaction` that bears its name.
//
//     instance   received -> indexed | own | notAnImage | quarantined      indexed -> quarantined
//     series     open -> closed       reopened by a late instance: revision n+1
//     stack      routed | unmatched | undetermined | unfit                 routed -> unfit, routed -> superseded
//     job        queued -> running -> done | queued again | dead | superseded     dead -> queued (revived)
//     delivery   pending -> sent | pending again | dead | superseded              dead -> pending (revived)
//                held -> pending (released) | dropped | superseded

/// Where a received instance is.
public enum InstanceState: String, Codable, CaseIterable, Sendable {
    /// On disk and acknowledged. Left by the indexer; found again after a crash by
    /// ``ReadTransaction/received(after:limit:)``.
    case received
    /// Its header was read, and it belongs to a series. Final, unless its file turns out to kill workers.
    case indexed
    /// Something that Kontur made and an archive sent back. Final.
    case own
    /// Has no image to segment. Final.
    case notAnImage
    /// Could not be read. Final.
    case quarantined
}

/// Where a series is.
public enum SeriesState: String, Codable, CaseIterable, Sendable {
    /// Takes instances. Left by the assembler, which counts quiet time anew after a start.
    case open
    /// Its stacks are decided and do not change. A late instance opens the next revision.
    case closed
}

/// What was decided about a stack.
public enum StackState: String, Codable, CaseIterable, Sendable {
    /// A route took it, and a job exists.
    case routed
    /// No route took it. Final.
    case unmatched
    /// Only routes with an undetermined condition could have taken it. Final.
    case undetermined
    /// Its route's segmenter cannot take it. Final.
    case unfit
}

/// Where a job is.
public enum JobState: String, Codable, CaseIterable, Sendable {
    /// Waits for a worker. Left by the dispatcher.
    case queued
    /// A worker has it. After a crash it is rescued: queued again free of charge.
    case running
    /// Finished, its deliveries made with it. Final.
    case done
    /// Given up. Left only by an operator's `jobs retry`.
    case dead
    /// A newer revision of its series exists. Final.
    case superseded
}

/// Where a delivery is.
public enum DeliveryState: String, Codable, CaseIterable, Sendable {
    /// Waits to be sent. Left by the outbox; nothing to rescue, since sending twice is harmless.
    case pending
    /// Held back for a person, because the job's confidence was low; keeps its file. Left only by an operator's
    /// `jobs release` or `jobs drop`.
    case held
    /// The peer answered that it has it. Final.
    case sent
    /// Given up; keeps its file. Left only by an operator's `jobs retry`.
    case dead
    /// A newer revision exists. Left when that revision makes the very same object.
    case superseded
    /// An operator decided that it is not to be sent. Final.
    case dropped
}
