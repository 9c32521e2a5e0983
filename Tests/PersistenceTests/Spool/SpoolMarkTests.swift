// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Platform
import Testing

@Suite struct `Only a folder that is empty or marked is taken as a spool` {
    private static func folder(_ files: [String]) throws -> String {
        let path = TestNode.temporary()
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for file in files {
            let url = URL(fileURLWithPath: path + "/" + file)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data("precious".utf8).write(to: url)
        }
        return path
    }

    private static func listing(_ path: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: path).sorted()
    }

    @Test(arguments: [
        ["work/thesis.tex"], ["derived/results/table.csv"], ["instances/a/b/scan.dcm"], ["notes.txt"],
        ["kontur.sqlite"], ["KONTUR-SPOOL"], ["work/a", "derived/b", "instances/c", "quarantine/d"],
    ])
    func `somebody's folder stays as it is, in a start and in a check`(_ files: [String]) async throws {
        try await blocking {
            let path = try Self.folder(files)
            defer { try? FileManager.default.removeItem(atPath: path) }
            chmod(path, 0o755)
            let before = try Self.listing(path)
            #expect(throws: SpoolError.self) { try Spool.check(SpoolConfiguration(path: path)) }
            let error = #expect(throws: SpoolError.self) { try TestNode(path: path) }
            #expect("\(try #require(error))".contains("is not a spool of Kontur"))
            #expect(try Self.listing(path) == before)
            var facts = stat()
            stat(path, &facts)
            #expect(facts.st_mode & 0o777 == 0o755)
        }
    }

    @Test func `an absent or empty folder is taken, with what systems leave there`() async throws {
        try await blocking {
            let path = try Self.folder([".DS_Store", "lost+found/x", "Thumbs.db"])
            defer { try? FileManager.default.removeItem(atPath: path) }
            try Spool.check(SpoolConfiguration(path: path))
            #expect(FileManager.default.fileExists(atPath: path + "/lost+found/x"))
            do { try TestNode(path: path).receive("1.1") }
            let mark = try #require(FileManager.default.contents(atPath: path + "/KONTUR-SPOOL"))
            #expect(mark.starts(with: "KONTUR-SPOOL 1\n".utf8))
            try Spool.check(SpoolConfiguration(path: path))
            #expect(try TestNode(path: path).count(.received) == 1)
        }
    }

    @Test func `a spool of a version without marks is known by its database`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do { try TestNode(path: path).receive("1.1") }
            try FileSystem.remove(path + "/KONTUR-SPOOL")
            try Spool.check(SpoolConfiguration(path: path))
            #expect(try TestNode(path: path).count(.received) == 1)
            #expect(FileManager.default.fileExists(atPath: path + "/KONTUR-SPOOL"))
        }
    }

    @Test func `a file, a link to nothing, and a folder inside a spool are refused`() async throws {
        try await blocking {
            let path = try Self.folder(["file"])
            defer { try? FileManager.default.removeItem(atPath: path) }
            symlink("/nowhere/at/all", path + "/link")
            let spool = path + "/spool"
            do { _ = try TestNode(path: spool) }
            for wrong in ["file", "link", "spool/work", "spool/work/deeper"] {
                #expect(throws: SpoolError.self, "\(wrong)") {
                    try Spool.check(SpoolConfiguration(path: path + "/" + wrong))
                }
            }
        }
    }

    @Test func `a link to a spool stands for the spool`() async throws {
        try await blocking {
            let path = try Self.folder(["file"])
            defer { try? FileManager.default.removeItem(atPath: path) }
            do { try TestNode(path: path + "/spool").receive("1.1") }
            symlink(path + "/spool", path + "/link")
            #expect(try TestNode(path: path + "/link").count(.received) == 1)
        }
    }
}

@Suite struct `Strays and links in a spool` {
    @Test func `strays neither keep a node from starting nor are deleted`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do { try TestNode(path: path).receivePart10("1.1") }
            let strays = [
                ".DS_Store", "instances/.DS_Store", "instances/2026-01-31", "instances/holiday/photo.jpg",
                "derived/Thumbs.db", "derived/2026-01-31/notes.txt", "quarantine/lost+found/x", "work/thesis.tex",
            ]
            for file in strays {
                let url = URL(fileURLWithPath: path + "/" + file)
                try FileManager.default.createDirectory(
                    at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data("precious".utf8).write(to: url)
            }
            let node = try TestNode(path: path)
            #expect(try node.received().count == 1)
            try node.receivePart10("1.2")
            try Retention(journal: node.journal).run()
            for file in strays { #expect(FileManager.default.fileExists(atPath: path + "/" + file), "\(file)") }
        }
    }

    @Test(
        arguments: [
            "instances", "work", "derived", "quarantine", "kontur.sqlite", "lock", "subject.key", "journal.head",
        ])
    func `a folder or database that was replaced by a link is refused`(_ name: String) async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { for end in ["", ".out"] { try? FileManager.default.removeItem(atPath: path + end) } }
            do { try TestNode(path: path).receivePart10("1.1") }
            try FileManager.default.moveItem(atPath: path + "/" + name, toPath: path + ".out")
            symlink(path + ".out", path + "/" + name)
            let before = try? FileManager.default.subpathsOfDirectory(atPath: path + ".out").sorted()
            #expect(throws: SpoolError.self) { try Spool.check(SpoolConfiguration(path: path)) }
            let error = #expect(throws: SpoolError.self) { try TestNode(path: path) }
            #expect("\(try #require(error))".contains("does not work through links"))
            #expect((try? FileManager.default.subpathsOfDirectory(atPath: path + ".out").sorted()) == before)
        }
    }

    @Test func `nothing behind a linked day is written or deleted`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { for end in ["", ".out"] { try? FileManager.default.removeItem(atPath: path + end) } }
            let node = try TestNode(path: path)
            try node.receivePart10("1.1")
            let stored = try #require(node.files("instances").first)
            let day = String(stored.prefix(10))
            try FileManager.default.moveItem(atPath: path + "/instances/" + day, toPath: path + ".out")
            symlink(path + ".out", path + "/instances/" + day)
            #expect(throws: (any Error).self) { try node.receivePart10("1.2") }
            node.spool.discard("instances/" + stored)
            #expect(FileManager.default.fileExists(atPath: path + ".out" + stored.dropFirst(10)))
            #expect(try FileManager.default.subpathsOfDirectory(atPath: path + ".out").count == 2)
            try FileSystem.remove(path + "/lock")
            let again = try TestNode(path: path)
            #expect(again.journal.recovery.links == ["instances/" + day])
            #expect(again.journal.recovery.unreadable == 1, "its row stays")
            #expect(FileManager.default.fileExists(atPath: path + ".out" + stored.dropFirst(10)))
        }
    }
}
