// SPDX-License-Identifier: Apache-2.0

import Foundation
import Kontur
import Testing

@Suite struct PrintingTests {
    struct Fruit: Report {
        var name: String
        var weight: Double

        var parts: [ReportPart] {
            [
                .line("a fruit"),
                .table(TextTable([.init("name"), .init("weight", isNumber: true)], rows: [[name, "\(weight)"]])),
            ]
        }
    }

    @Test func `columns are as wide as their widest cell, numbers stand to the right`() {
        let table = TextTable(
            [.init("name"), .init("count", isNumber: true), .init("note")],
            rows: [["a", "1", "first"], ["longer", "1000", ""]])
        #expect(
            table.lines == [
                "NAME    COUNT  NOTE",
                "a           1  first",
                "longer   1000",
            ])
    }

    @Test func `a column in which nothing stands is left out`() {
        let table = TextTable([.init("name"), .init("reason")], rows: [["a", ""], ["b", ""]])
        #expect(table.lines == ["NAME", "a", "b"])
    }

    @Test func `what a file says cannot reach the terminal's controls`() {
        #expect(TextTable.printable("a\u{1B}[2Jb\nc\u{7}\u{202E}d") == "a?[2Jb?c??d")
        #expect(TextTable.printable("Größe 左心房") == "Größe 左心房")
    }

    @Test func `one value prints as text and as JSON`() throws {
        let fruit = Fruit(name: "apple", weight: 0.25)
        #expect(try ReportPrinter.render(fruit, as: .text) == "a fruit\nNAME   WEIGHT\napple    0.25\n")
        let json = try ReportPrinter.render(fruit, as: .json)
        #expect(json.hasSuffix("}\n"))
        let object = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any]
        #expect(object?["name"] as? String == "apple")
        #expect(object?.count == 2)
    }
}
