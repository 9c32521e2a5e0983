// SPDX-License-Identifier: Apache-2.0

/// What a worker process is for; it answers no request of the other role.
///
/// The two are apart so that indexing, which the closing of a series waits for, never queues behind a segmentation.
public enum WorkerRole: String, Sendable, Hashable, Codable, CaseIterable {
    case index
    case segment
}
