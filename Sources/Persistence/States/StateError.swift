// SPDX-License-Identifier: Apache-2.0

/// An arrow that does not start where a row is.
public enum StateError: Error, Equatable, Sendable, CustomStringConvertible {
    /// There is no such row.
    case unknown(String, Int64)
    /// The row is in another state than the arrow starts from: somebody else moved it.
    case wrongState(String, Int64, found: String)
    /// The series took another instance since it was read: read it again.
    case seriesChanged(SeriesID)
    /// A newer revision of the series exists, so there is nothing to revive.
    case outdated(JobID)

    public var description: String {
        switch self {
        case .unknown(let table, let id): "there is no \(table) \(id)"
        case .wrongState(let table, let id, let found): "\(table) \(id) is \(found)"
        case .seriesChanged(let id): "series \(id.rawValue) took another instance meanwhile"
        case .outdated(let id): "job \(id.rawValue) belongs to an older revision of its series: a newer one exists"
        }
    }
}
