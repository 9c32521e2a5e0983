// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

@Suite struct `Pages of a list` {
    /// All rows of a list, and the number of pages that held them.
    private static func read<Row>(
        _ node: TestNode, _ list: @escaping (ReadTransaction, Row?) throws -> [Row]
    ) throws -> (rows: [Row], pages: Int) {
        var found: (rows: [Row], pages: Int) = ([], 0)
        var pages = node.journal.pages(list)
        while let page = try pages.next() {
            found.rows += page
            found.pages += 1
        }
        return found
    }

    /// Three rows in each list.
    private static func node(pageSize: Int) throws -> TestNode {
        let node = try TestNode(pageSize: pageSize)
        for number in 1...3 {
            try node.fill(["1.\(number)"], series: "1.2.\(number)")
            try node.finish(node.close(), [node.derived("2.25.\(number)")])
        }
        for number in 4...6 {
            try node.fill(["1.\(number)"], series: "1.2.\(number)")
            try node.close()
        }
        for number in 7...9 {
            try node.fill(["1.\(number)"], series: "1.2.\(number)")
            try node.receive("3.\(number)")
        }
        return node
    }

    @Test(arguments: [1, 2, 3, 4]) func `hold every row once, whatever their size`(_ size: Int) async throws {
        try await blocking {
            let node = try Self.node(pageSize: size)
            let expected = (3 + size - 1) / size
            let series = try Self.read(node) { try $0.openSeries(after: $1?.id) }
            #expect(series.rows.map(\.seriesInstanceUID) == ["1.2.7", "1.2.8", "1.2.9"] && series.pages == expected)
            let queued = try Self.read(node) { try $0.queuedJobs(after: $1) }
            let waiting = try queued.rows.compactMap { id in try node.journal.read { try $0.job(id) } }
            #expect(waiting.map(\.seriesInstanceUID) == ["1.2.4", "1.2.5", "1.2.6"] && queued.pages == expected)
            let pending = try Self.read(node) { try $0.pendingDeliveries(after: $1?.id) }
            #expect(pending.rows.map(\.object.sopInstanceUID) == ["2.25.1", "2.25.2", "2.25.3"])
            #expect(pending.pages == expected)
            #expect(try Self.read(node) { try $0.jobs(after: $1?.id) }.rows.count == 6)
            #expect(try node.received().map(\.sopInstanceUID) == ["3.7", "3.8", "3.9"])
            #expect(try AuditTrail(journal: node.journal).verify().isWhole)
        }
    }
}
