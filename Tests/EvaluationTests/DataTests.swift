// SPDX-License-Identifier: Apache-2.0

import Evaluation
import Foundation
import Imaging
import Testing

@Suite struct PictureCasesTests {
    @Test func `pairs images and masks of two folders by name, whatever their endings`() throws {
        let folder = try TestFolder()
        try folder.picture("images/b.png")
        try folder.picture("images/a.png")
        try folder.picture("images/alone.png")
        try folder.picture("masks/a.png", box: (1..<3, 1..<4))
        try folder.picture("masks/b_mask.png")
        let found = try #require(try PictureCases(folder: folder.path))
        #expect(found.cases.map(\.id) == ["a", "b"])
        #expect(found.unlabelled == ["alone"])
        #expect(found.cases[0].truth == .picture(path: folder.file("masks/a.png")))
        let loaded = try LoadedCase(found.cases[0])
        #expect(loaded.truth[0].area == 6)
        #expect(loaded.frames[0].rows == 8 && loaded.frames[0].columns == 10)
    }

    @Test func `pairs files of one folder, and can treat images without a mask as empty`() throws {
        let folder = try TestFolder()
        try folder.picture("one.png")
        try folder.picture("one_mask.png", box: (0..<1, 0..<1))
        try folder.picture("two.png")
        let found = try #require(try PictureCases(folder: folder.path, unlabelledIsEmpty: true))
        #expect(found.cases.map(\.id) == ["one", "two"])
        #expect(found.cases[1].truth == .nothing)
        #expect(try LoadedCase(found.cases[1]).truth[0].isEmpty)
    }

    @Test func `a folder without pictures is not a picture folder, and two files with one name are refused`() throws {
        let folder = try TestFolder()
        #expect(try PictureCases(folder: folder.path) == nil)
        try folder.picture("images/a.png")
        try folder.picture("images/a.jpg")
        #expect(throws: EvaluationError.self) { try PictureCases(folder: folder.path) }
    }

    @Test func `a mask of another size is refused with both sizes`() throws {
        let folder = try TestFolder()
        try folder.picture("images/a.png")
        try folder.picture("masks/a.png", rows: 4, columns: 4)
        let source = try #require(try PictureCases(folder: folder.path)).cases[0]
        let error = #expect(throws: EvaluationError.self) { try LoadedCase(source) }
        #expect(
            error?.description == "the truth does not fit the image: 4 x 4 pixels, the image has 8 x 10")
    }

    @Test func `a label map of small numbers is refused and does not become an empty truth`() throws {
        let folder = try TestFolder()
        try folder.picture("images/a.png")
        let mask = try folder.picture("masks/a.png")
        let labels = (0..<80).map { UInt8($0 % 2) }
        try Picture(rows: 8, columns: 10, channels: 1, samples: labels).writePNG(to: mask)
        let source = try #require(try PictureCases(folder: folder.path)).cases[0]
        let error = #expect(throws: EvaluationError.self) { try LoadedCase(source) }
        #expect(error?.description.contains("its largest value is 1") == true, "\(String(describing: error))")
    }

    @Test func `a changed mask changes the case's digest`() throws {
        let folder = try TestFolder()
        try folder.picture("images/a.png")
        try folder.picture("masks/a.png")
        let source = try #require(try PictureCases(folder: folder.path)).cases[0]
        let before = try source.digest()
        #expect(try source.digest() == before)
        try folder.picture("masks/a.png", box: (0..<1, 0..<1))
        #expect(try source.digest() != before)
    }
}

@Suite struct ManifestTests {
    @Test func `reads quotes, other columns, empty masks and Windows line ends`() throws {
        let folder = try TestFolder()
        try folder.picture("x,1.png")
        try folder.picture("m.png")
        try folder.picture("y.png")
        let path = try folder.write(
            "\u{FEFF}id,image,Mask,note,group\r\nfirst,\"x,1.png\",m.png,\"a \"\"b\"\"\nc\",Bonn\r\n\r\n,y.png,,,\r\n",
            to: "cases.csv")
        let rows = try Manifest(path: path).rows
        #expect(rows.map(\.id) == ["first", "y"])
        #expect(rows[0].image == folder.file("x,1.png") && rows[0].mask == folder.file("m.png"))
        #expect(rows[0].group == "Bonn" && rows[1].group == nil && rows[1].mask == nil)
        #expect(rows[0].isPicture)
        #expect(rows[1].line == 5)
    }

    @Test(arguments: [
        ("image\nx.png\n", "cases.csv:1: the first row must name the columns image and mask"),
        ("image,mask\nx.png,\n", "cases.csv:2: the file does not exist: "),
        ("image,mask\n,m.png\n", "cases.csv:2: the column image is empty"),
        ("image,mask\ny.png,\ny.png,\n", "cases.csv:3: a second case is named y: give each case its own id"),
        ("", "cases.csv:1: the table is empty"),
    ])
    func `says what is wrong with a table, and where`(text: String, expected: String) throws {
        let folder = try TestFolder()
        try folder.picture("y.png")
        let path = try folder.write(text, to: "cases.csv")
        let error = #expect(throws: EvaluationError.self) { try Manifest(path: path) }
        #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
    }
}
