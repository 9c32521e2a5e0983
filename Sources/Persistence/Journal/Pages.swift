// SPDX-License-Identifier: Apache-2.0

/// A cursor over a list of the journal, page by page.
///
/// Each page is a read transaction of its own, so that a long list does not keep one open. Only the journal knows the
/// size of a page. The cursor belongs to one thread.
public struct Pages<Row> {
    private let read: (Row?) throws -> [Row]
    private var last: Row?
    private var isAtEnd = false

    fileprivate init(_ read: @escaping (Row?) throws -> [Row]) { self.read = read }

    /// The next page, or `nil` after the last one; blocks the calling thread.
    public mutating func next() throws -> [Row]? {
        guard !isAtEnd else { return nil }
        let page = try read(last)
        guard let end = page.last else {
            isAtEnd = true
            return nil
        }
        last = end
        return page
    }
}

extension Journal {
    /// The pages of a list, such as `journal.pages { try $0.jobs(after: $1?.id) }`.
    ///
    /// `read` returns the page after a row, or the first page for `nil`. An empty page is the end of the list.
    public func pages<Row>(_ read: @escaping (ReadTransaction, Row?) throws -> [Row]) -> Pages<Row> {
        Pages { last in try self.read { view in try read(view, last) } }
    }
}
